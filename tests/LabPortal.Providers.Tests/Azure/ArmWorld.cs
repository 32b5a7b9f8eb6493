using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;

namespace LabPortal.Providers.Tests.Azure;

/// <summary>What Resource Manager refuses, as it says it.</summary>
internal sealed class ArmRefusal(int status, string code, string message) : Exception(message)
{
    public int Status => status;

    public string Code => code;
}

/// <summary>One resource: its body, when it shows, and what it turns into by itself.</summary>
internal sealed class ArmThing
{
    public required string Id { get; init; }
    public required string Type { get; init; }
    public required JsonObject Body { get; init; }
    public required TimeSpan ShownAt { get; init; }
    public string Power { get; set; } = "";
    public string Provisioning { get; set; } = "Succeeded";
    public (string Provisioning, string Power, TimeSpan At)? Next { get; set; }
    public (string Code, string Message)? Failure { get; set; }

    /// <summary>The machine that it is removed with.</summary>
    public string? GoesWith { get; set; }

    public string Name => Id.Split('/')[^1];

    public string Group => Id.Split('/')[4];
}

/// <summary>
/// A subscription that lives in memory: groups, machines that take their time, what is made with them and goes with them; reads that lag behind. As the REST reference
/// of Resource Manager and Compute tells it ("Track asynchronous Azure operations", "States and billing status of Azure Virtual Machines").
/// </summary>
internal sealed class ArmWorld
{
    public const string Subscription = "11111111-2222-3333-4444-555555555555";
    public const string Location = "testwest";
    public const string Subnet = $"/subscriptions/{Subscription}/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/labs/subnets/machines";

    private static readonly TimeSpan s_change = TimeSpan.FromMilliseconds(30);
    private static readonly TimeSpan s_lag = TimeSpan.FromMilliseconds(15);

    private readonly Lock _gate = new();
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly Dictionary<string, ArmThing> _things = new(StringComparer.OrdinalIgnoreCase);
    private int _addresses;

    public const string GoldenImage = $"/subscriptions/{Subscription}/resourceGroups/images/providers/Microsoft.Compute/images/golden";

    public static IReadOnlyList<string> Sizes { get; } = ["Standard_B1s", "Standard_B2s", "Standard_D4s_v5"];

    /// <summary>Sizes that have no room: told at once, or by a machine that fails.</summary>
    public HashSet<string> Short { get; } = [];

    public HashSet<string> FailLater { get; } = [];

    /// <summary>How long a create takes, and how many came at once.</summary>
    public Busy Creates { get; } = new();

    /// <summary>Actions that the caller's role lacks.</summary>
    public HashSet<string> Denied { get; } = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>How many vCPUs of the subscription are in use, of 20.</summary>
    public int CoresUsed { get; set; } = 4;

    /// <summary>What machines printed, where it is another thing than their boot.</summary>
    public string? Printed { get; set; }

    public string PrintedBy(string id) => Printed ?? $"[    0.000000] Linux version 6.1.0\n{Find(id)!.Body["properties"]!["osProfile"]!["computerName"]} login: ";

    /// <summary>Groups that are being deleted stay so until this is false.</summary>
    public bool DeletionsHang { get; set; }

    public IReadOnlyList<(string Type, string Id, string Name)> Everything()
    {
        lock (_gate)
        {
            Settle();
            return [.. _things.Values.Select(thing => (thing.Type, thing.Id, thing.Name))];
        }
    }

    public ArmThing? Find(string id)
    {
        lock (_gate) return _things.GetValueOrDefault(id);
    }

    /// <summary>The status, and the body where there is one.</summary>
    public (int Status, JsonNode? Body) Answer(string method, string path, IReadOnlyDictionary<string, string> query, JsonObject? body, bool full)
    {
        lock (_gate)
        {
            Settle();
            var parts = path.Trim('/').Split('/');
            if (parts is not ["subscriptions", Subscription, ..]) throw new ArmRefusal(404, "SubscriptionNotFound", $"The subscription '{parts.ElementAtOrDefault(1)}' could not be found.");
            return (method, parts[2..]) switch
            {
                ("GET", []) => (200, new JsonObject { ["id"] = $"/subscriptions/{Subscription}", ["subscriptionId"] = Subscription, ["displayName"] = "labs", ["state"] = "Enabled" }),
                ("GET", ["resourcegroups" or "resourceGroups"]) => (200, Page(_things.Values.Where(thing => IsGroup(thing) && Tagged(query["$filter"], thing)), query)),
                ("GET", ["resources"]) => (200, Page(_things.Values.Where(thing => !IsGroup(thing) && thing.Name.Contains(query["$filter"].Split('\'')[1], StringComparison.Ordinal)), query, Listed)),
                ("GET", ["providers", "Microsoft.Compute", "locations", Location, "vmSizes"]) => (200, new JsonObject { ["value"] = new JsonArray([.. Sizes.Select(size => new JsonObject { ["name"] = size, ["numberOfCores"] = 2, ["memoryInMB"] = 4096 })]) }),
                ("GET", ["providers", "Microsoft.Compute", "locations", Location, "usages"]) => (200, new JsonObject { ["value"] = new JsonArray(Usage("availabilitySets", "Availability Sets", 0, 2500), Usage("cores", "Total Regional vCPUs", CoresUsed, 20)) }),
                ("GET", [.., "providers", "Microsoft.Authorization", "permissions"]) => (200, new JsonObject
                {
                    ["value"] = new JsonArray(
                        new JsonObject { ["actions"] = new JsonArray("Microsoft.Resources/*/read"), ["notActions"] = new JsonArray([.. Denied.Select(action => JsonValue.Create(action))]) },
                        new JsonObject { ["actions"] = new JsonArray("Microsoft.Compute/*", "Microsoft.Network/*", "Microsoft.Resources/subscriptions/resourceGroups/*", "Microsoft.Authorization/permissions/read"), ["notActions"] = new JsonArray([.. Denied.Select(action => JsonValue.Create(action))]) }),
                }),
                ("GET", ["providers", "Microsoft.Compute", "locations", Location, "publishers", var publisher, "artifacttypes", "vmimage", "offers", var offer, "skus", var sku, "versions"]) => (200, Versions(publisher, offer, sku)),
                ("GET", ["resourceGroups", "images", ..]) when path.Equals(GoldenImage, StringComparison.OrdinalIgnoreCase) => (200, new JsonObject { ["id"] = GoldenImage, ["name"] = "golden", ["type"] = "Microsoft.Compute/images", ["location"] = Location, ["properties"] = new JsonObject { ["provisioningState"] = "Succeeded" } }),
                ("PUT", ["resourceGroups", var group, "providers", "Microsoft.Compute", "snapshots", var name]) => PutCopy(group, "Microsoft.Compute/snapshots", name, body!),
                ("PUT", ["resourceGroups", var group, "providers", "Microsoft.Compute", "disks", var name]) => PutCopy(group, "Microsoft.Compute/disks", name, body!),
                ("PATCH", ["resourceGroups", var group, "providers", "Microsoft.Compute", "virtualMachines", _]) => Exchange(Seen(group, path), body!),
                ("GET", ["resourceGroups", var group, "providers", "Microsoft.Compute", "snapshots" or "disks"]) => (200, Page(InGroup(group).Where(thing => thing.Type.EndsWith($"/{parts[^1]}", StringComparison.Ordinal)), query)),
                ("PUT", ["resourcegroups" or "resourceGroups", var group]) => PutGroup(group, body!),
                ("DELETE", ["resourcegroups" or "resourceGroups", var group]) => DeleteGroup(group),
                ("GET", ["resourceGroups", "net", ..]) when $"/{string.Join('/', parts)}".Equals(Subnet, StringComparison.OrdinalIgnoreCase) => (200, new JsonObject { ["id"] = Subnet, ["name"] = "machines", ["type"] = "Microsoft.Network/virtualNetworks/subnets", ["properties"] = new JsonObject() }),
                ("GET", ["resourceGroups", var group, "providers", "Microsoft.Compute", "virtualMachines"]) => (200, Page(InGroup(group).Where(thing => thing.Type.EndsWith("/virtualMachines", StringComparison.Ordinal)), query)),
                ("PUT", ["resourceGroups", var group, "providers", "Microsoft.Compute", "virtualMachines", var name]) => PutMachine(group, name, body!, full),
                ("POST", ["resourceGroups", var group, "providers", "Microsoft.Compute", "virtualMachines", _, "retrieveBootDiagnosticsData"]) => (200, new JsonObject { ["serialConsoleLogBlobUri"] = $"/serial{Seen(group, path[..path.LastIndexOf('/')]).Id}" }),
                ("POST", ["resourceGroups", _, "providers", "Microsoft.Compute", "virtualMachines", _, var verb]) => Change(path[..path.LastIndexOf('/')], verb),
                ("GET", ["resourceGroups", var group, "providers", _, _, _]) => (200, Told(Seen(group, path), query.GetValueOrDefault("$expand") == "instanceView")),
                ("DELETE", ["resourceGroups", var group, "providers", _, _, _]) => Delete(group, path),
                ("GET", ["resourceGroups", ..]) => throw new ArmRefusal(404, "ResourceNotFound", $"The Resource '{path}' was not found."),
                _ => throw new ArmRefusal(404, "InvalidResourceType", $"The resource type could not be found for {method} {path}."),
            };
        }
    }

    private (int, JsonNode) PutGroup(string name, JsonObject body)
    {
        var id = $"/subscriptions/{Subscription}/resourceGroups/{name}";
        if (_things.TryGetValue(id, out var there))
        {
            if (there.Provisioning == "Deleting") throw new ArmRefusal(409, "ResourceGroupBeingDeleted", $"The resource group '{name}' is in deprovisioning state and cannot perform this operation.");
            return (200, Told(there, false));
        }

        return (201, Told(Make(id, "Microsoft.Resources/resourceGroups", body), false));
    }

    private (int, JsonNode?) DeleteGroup(string name)
    {
        if (!_things.TryGetValue($"/subscriptions/{Subscription}/resourceGroups/{name}", out var group)) throw new ArmRefusal(404, "ResourceGroupNotFound", $"Resource group '{name}' could not be found.");
        (group.Provisioning, group.Next) = ("Deleting", ("gone", "", _clock.Elapsed + s_change));
        foreach (var thing in InGroup(name)) thing.Provisioning = "Deleting";
        return (202, null);
    }

    private (int, JsonNode) PutMachine(string group, string name, JsonObject body, bool full)
    {
        RequireGroup(group);
        var id = $"/subscriptions/{Subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}";
        var size = body["properties"]!["hardwareProfile"]!["vmSize"]!.GetValue<string>();
        if (_things.TryGetValue(id, out var there))
        {
            if (there.Provisioning == "Deleting") throw new ArmRefusal(409, "OperationNotAllowed", "The machine is being deleted.");
            return (200, Told(there, false));
        }

        if (!Sizes.Contains(size)) throw new ArmRefusal(400, "InvalidParameter", $"The value {size} provided for the VM size is not valid.");
        if (full || Short.Contains(size)) throw new ArmRefusal(409, "SkuNotAvailable", $"The requested VM size for resource '{size}' is currently not available in location '{Location}'.");
        if (body["properties"]!["osProfile"]!["customData"] is { } data && Convert.FromBase64String(data.GetValue<string>()).Length > 65536) throw new ArmRefusal(400, "InvalidParameter", "Custom data is too long.");

        RequireImage(body["properties"]!["storageProfile"]!["imageReference"]!);

        var machine = Make(id, "Microsoft.Compute/virtualMachines", body);
        machine.Provisioning = "Creating";
        machine.Next = FailLater.Contains(size) ? ("Failed", "", _clock.Elapsed + s_change) : ("Succeeded", "running", _clock.Elapsed + s_change);
        if (FailLater.Contains(size)) machine.Failure = ("AllocationFailed", "Allocation failed. We do not have sufficient capacity for the requested VM size in this region.");
        var within = machine.Id[..machine.Id.IndexOf("/providers/", StringComparison.Ordinal)];
        var asked = body["properties"]!["storageProfile"]!["osDisk"]!;
        var disk = Make($"{within}/providers/Microsoft.Compute/disks/{asked["name"]}", "Microsoft.Compute/disks", new JsonObject
        {
            ["managedBy"] = id, ["properties"] = new JsonObject { ["creationData"] = new JsonObject { ["createOption"] = "FromImage" }, ["diskSizeGB"] = asked["diskSizeGB"]?.DeepClone() ?? 30, ["timeCreated"] = Now },
        });
        if (asked["deleteOption"]?.ToString() == "Delete") disk.GoesWith = id;
        var managed = asked["managedDisk"] as JsonObject ?? [];
        managed["id"] = disk.Id;
        asked["managedDisk"] = managed.Parent is null ? managed : managed.DeepClone();
        var cards = new JsonArray();
        foreach (var card in body["properties"]!["networkProfile"]!["networkInterfaceConfigurations"]!.AsArray())
        {
            var address = new JsonObject { ["privateIPAddress"] = $"10.1.{++_addresses / 250}.{(_addresses % 250) + 4}" };
            if (card!["properties"]!["ipConfigurations"]![0]!["properties"]!["publicIPAddressConfiguration"] is { } outer)
            {
                var reachable = Make($"{within}/providers/Microsoft.Network/publicIPAddresses/{outer["name"]}", "Microsoft.Network/publicIPAddresses", new JsonObject { ["properties"] = new JsonObject { ["ipAddress"] = $"203.0.113.{(_addresses % 250) + 4}" } });
                if (outer["properties"]?["deleteOption"]?.ToString() == "Delete") reachable.GoesWith = id;
                address["publicIPAddress"] = new JsonObject { ["id"] = reachable.Id };
            }

            var made = Make($"{within}/providers/Microsoft.Network/networkInterfaces/{card["name"]}", "Microsoft.Network/networkInterfaces", new JsonObject
            {
                ["properties"] = new JsonObject { ["ipConfigurations"] = new JsonArray(new JsonObject { ["name"] = "first", ["properties"] = address }) },
            });
            if (card["properties"]!["deleteOption"]?.ToString() == "Delete") made.GoesWith = id;
            cards.Add(new JsonObject { ["id"] = made.Id });
        }

        body["properties"]!["networkProfile"] = new JsonObject { ["networkInterfaces"] = cards };
        return (201, Told(machine, false));
    }

    private static string Now => DateTimeOffset.UtcNow.ToString("O", CultureInfo.InvariantCulture);

    private static JsonObject Usage(string name, string title, int used, int limit)
        => new() { ["unit"] = "Count", ["currentValue"] = used, ["limit"] = limit, ["name"] = new JsonObject { ["value"] = name, ["localizedValue"] = title } };

    private static JsonArray Versions(string publisher, string offer, string sku) => (publisher, offer, sku) switch
    {
        ("debian", "debian-12", "12-gen2") => [new JsonObject { ["location"] = Location, ["name"] = "0.20260101.1", ["id"] = $"/Subscriptions/{Subscription}/Providers/Microsoft.Compute/Locations/{Location}/Publishers/debian/ArtifactTypes/VMImage/Offers/debian-12/Skus/12-gen2/Versions/0.20260101.1" }],
        ("debian", _, _) => throw new ArmRefusal(404, "NotFound", "Artifact: VMImage was not found."),
        _ => throw new ArmRefusal(404, "PublisherNotFound", $"The publisher {publisher} was not found."),
    };

    private static void RequireImage(JsonNode image)
    {
        if (image["id"] is { } id && !id.ToString().Equals(GoldenImage, StringComparison.OrdinalIgnoreCase)) throw new ArmRefusal(404, "ResourceNotFound", $"The Resource '{id}' was not found.");
        if (image["publisher"] is { } publisher && (publisher.ToString(), image["offer"]?.ToString(), image["sku"]?.ToString()) != ("debian", "debian-12", "12-gen2"))
            throw new ArmRefusal(404, "PlatformImageNotFound", $"The platform image '{publisher}:{image["offer"]}:{image["sku"]}:{image["version"]}' is not available.");
    }

    /// <summary>A snapshot of a disk, or a disk of a snapshot.</summary>
    private (int, JsonNode) PutCopy(string group, string type, string name, JsonObject body)
    {
        RequireGroup(group);
        if (name.Length > 80 || !System.Text.RegularExpressions.Regex.IsMatch(name, "^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$")) throw new ArmRefusal(400, "InvalidParameter", $"The name {name} is not valid.");
        var id = $"/subscriptions/{Subscription}/resourceGroups/{group}/providers/{type}/{name}";
        if (_things.TryGetValue(id, out var there))
            return there.Provisioning == "Deleting" ? throw new ArmRefusal(409, "OperationNotAllowed", $"{name} is being deleted.") : (200, Told(there, false));
        var source = body["properties"]!["creationData"]!["sourceResourceId"]!.ToString();
        if (!_things.ContainsKey(source)) throw new ArmRefusal(404, "NotFound", $"{source} was not found.");
        body["properties"]!["timeCreated"] = Now;
        var made = Make(id, type, body);
        (made.Provisioning, made.Next) = ("Creating", ("Succeeded", "", _clock.Elapsed + s_change));
        return (202, Told(made, false));
    }

    /// <summary>Another disk for a machine that is deallocated ("Change the OS disk used by an Azure VM").</summary>
    private (int, JsonNode) Exchange(ArmThing machine, JsonObject body)
    {
        if (machine.Provisioning != "Succeeded" || machine.Power != "deallocated") throw new ArmRefusal(409, "OperationNotAllowed", "The disk of a machine can be changed while it is deallocated.");
        var wanted = body["properties"]!["storageProfile"]!["osDisk"]!;
        var disk = _things.GetValueOrDefault(wanted["managedDisk"]!["id"]!.ToString()) ?? throw new ArmRefusal(404, "NotFound", "The disk was not found.");
        if (!disk.Name.Equals(wanted["name"]?.ToString(), StringComparison.OrdinalIgnoreCase)) throw new ArmRefusal(400, "InvalidParameter", "The disk has another name.");
        var told = machine.Body["properties"]!["storageProfile"]!["osDisk"]!;
        if (_things.GetValueOrDefault(told["managedDisk"]!["id"]!.ToString()) is { } old && old != disk)
        {
            if (disk.Body["managedBy"] is not null) throw new ArmRefusal(409, "ConflictingUserInput", "The disk is attached to another machine.");
            old.Body.Remove("managedBy");
            old.GoesWith = null;
        }

        (disk.Body["managedBy"], disk.GoesWith) = (machine.Id, wanted["deleteOption"]?.ToString() == "Delete" ? machine.Id : null);
        (told["name"], told["managedDisk"]!["id"]) = (disk.Name, disk.Id);
        (machine.Provisioning, machine.Next) = ("Updating", ("Succeeded", "deallocated", _clock.Elapsed + s_change));
        return (200, Told(machine, false));
    }

    private (int, JsonNode?) Change(string id, string verb)
    {
        var machine = Seen(id.Split('/')[4], id);
        if (machine.Provisioning is "Creating" or "Deleting" or "Updating") throw new ArmRefusal(409, "Conflict", $"The request failed due to conflict with a concurrent request: the machine is {machine.Provisioning}.");
        (machine.Power, machine.Next) = verb switch
        {
            "start" => ("starting", ("Succeeded", "running", _clock.Elapsed + s_change)),
            "deallocate" => ("deallocating", ("Succeeded", "deallocated", _clock.Elapsed + s_change)),
            "restart" when machine.Power is "running" or "starting" => ("starting", ("Succeeded", "running", _clock.Elapsed + s_change)),
            "restart" => throw new ArmRefusal(409, "OperationNotAllowed", "The machine is not running."),
            _ => throw new ArmRefusal(404, "NotFound", verb),
        };
        return (202, null);
    }

    private (int, JsonNode?) Delete(string group, string id)
    {
        RequireGroup(group);
        if (!_things.TryGetValue(id, out var thing)) return (204, null);
        if (thing.Body["managedBy"] is { } by) throw new ArmRefusal(409, "OperationNotAllowed", $"Disk {thing.Name} is attached to VM {by}.");
        if (thing.Provisioning != "Deleting") (thing.Provisioning, thing.Next) = ("Deleting", ("gone", "", _clock.Elapsed + s_change));
        return (202, null);
    }

    private JsonObject Page(IEnumerable<ArmThing> things, IReadOnlyDictionary<string, string> query, Func<ArmThing, JsonObject>? tell = null)
    {
        const int Most = 4;
        var all = things.Where(thing => thing.ShownAt <= _clock.Elapsed).OrderBy(thing => thing.Id, StringComparer.Ordinal).ToList();
        var from = query.TryGetValue("$skiptoken", out var token) ? int.Parse(token, CultureInfo.InvariantCulture) : 0;
        var page = new JsonObject { ["value"] = new JsonArray([.. all.Skip(from).Take(Most).Select(tell ?? (thing => Told(thing, false)))]) };
        if (from + Most < all.Count) page["nextLink"] = from + Most;
        return page;
    }

    private IEnumerable<ArmThing> InGroup(string group)
    {
        RequireGroup(group);
        return _things.Values.Where(thing => !IsGroup(thing) && thing.Group.Equals(group, StringComparison.OrdinalIgnoreCase));
    }

    private void RequireGroup(string group)
    {
        if (!_things.ContainsKey($"/subscriptions/{Subscription}/resourceGroups/{group}")) throw new ArmRefusal(404, "ResourceGroupNotFound", $"Resource group '{group}' could not be found.");
    }

    private ArmThing Seen(string group, string id)
    {
        RequireGroup(group);
        return _things.TryGetValue(id, out var thing) && thing.ShownAt <= _clock.Elapsed ? thing : throw new ArmRefusal(404, "ResourceNotFound", $"The Resource '{id}' under resource group '{group}' was not found.");
    }

    private ArmThing Make(string id, string type, JsonObject body) => _things[id] = new ArmThing { Id = id, Type = type, Body = body, ShownAt = _clock.Elapsed + s_lag };

    private void Settle()
    {
        foreach (var thing in _things.Values.Where(thing => thing.Next is { } next && next.At <= _clock.Elapsed && !(DeletionsHang && IsGroup(thing))).ToList())
        {
            (thing.Provisioning, thing.Power, _) = thing.Next!.Value;
            thing.Next = null;
            if (thing.Provisioning != "gone") continue;
            _things.Remove(thing.Id);
            if (IsGroup(thing))
            {
                foreach (var inner in _things.Values.Where(inner => !IsGroup(inner) && inner.Group.Equals(thing.Name, StringComparison.OrdinalIgnoreCase)).ToList()) _things.Remove(inner.Id);
            }
            else if (thing.Type.EndsWith("/virtualMachines", StringComparison.Ordinal))
            {
                foreach (var inner in _things.Values.Where(inner => inner.GoesWith == thing.Id).ToList()) _things.Remove(inner.Id);
                foreach (var left in _things.Values.Where(left => left.Body["managedBy"]?.ToString() == thing.Id)) left.Body.Remove("managedBy");
            }
        }
    }

    private static bool IsGroup(ArmThing thing) => thing.Type == "Microsoft.Resources/resourceGroups";

    /// <summary><c>tagName eq 'a' and tagValue eq 'b'</c>.</summary>
    private static bool Tagged(string filter, ArmThing thing)
    {
        var quoted = filter.Split('\'');
        return thing.Body["tags"]?[quoted[1]]?.GetValue<string>() == quoted[3];
    }

    /// <summary>What a list over all kinds of resource tells.</summary>
    private static JsonObject Listed(ArmThing thing) => new() { ["id"] = thing.Id, ["name"] = thing.Name, ["type"] = thing.Type, ["location"] = Location, ["tags"] = thing.Body["tags"]?.DeepClone() ?? new JsonObject() };

    private static JsonObject Told(ArmThing thing, bool withInstance)
    {
        var told = (JsonObject)thing.Body.DeepClone();
        if (told["properties"]?["osProfile"] is JsonObject profile)
        {
            // Secrets are not given back.
            profile.Remove("customData");
            profile.Remove("adminPassword");
        }

        (told["id"], told["name"], told["type"], told["location"]) = (thing.Id, thing.Name, thing.Type, Location);
        var properties = told["properties"] as JsonObject ?? [];
        if (properties.Parent is null) told["properties"] = properties;
        properties["provisioningState"] = thing.Provisioning;
        if (withInstance)
        {
            var statuses = new JsonArray(new JsonObject
            {
                ["code"] = thing.Failure is { } failure && thing.Provisioning == "Failed" ? $"ProvisioningState/failed/{failure.Code}" : $"ProvisioningState/{thing.Provisioning}", ["level"] = "Info", ["displayStatus"] = thing.Provisioning,
            });
            if (thing.Failure is { } why) statuses[0]!["message"] = why.Message;
            if (thing.Power.Length > 0) statuses.Add(new JsonObject { ["code"] = $"PowerState/{thing.Power}", ["level"] = "Info", ["displayStatus"] = $"VM {thing.Power}" });
            properties["instanceView"] = new JsonObject { ["statuses"] = statuses };
        }

        return told;
    }
}
