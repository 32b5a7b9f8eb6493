using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace LabPortal.Providers.Tests.Aws;

/// <summary>What EC2 refuses, as it says it.</summary>
internal sealed class Ec2Refusal(string code, string message, int status = 400) : Exception(message)
{
    public string Code => code;

    public int Status => status;
}

/// <summary>
/// The objects of an EC2 that lives in memory: instances that take their time, volumes, cards, snapshots; reads that lag behind; terminated instances that still show.
/// As the EC2 API reference tells it ("Eventual consistency", "Ensuring idempotency", "Instance lifecycle").
/// </summary>
internal sealed class Ec2World
{
    public const string Zone = "test-1a";

    private static readonly TimeSpan s_change = TimeSpan.FromMilliseconds(30);
    private static readonly TimeSpan s_lag = TimeSpan.FromMilliseconds(20);

    private readonly Lock _gate = new();
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly Dictionary<string, Thing> _things = [];
    private readonly Dictionary<string, (string Parameters, string Id)> _tokens = [];
    private int _last = 0x1000;

    public static IReadOnlyDictionary<string, string> Subnets { get; } = new Dictionary<string, string> { ["subnet-0a"] = Zone, ["subnet-0b"] = "test-1b" };

    public static IReadOnlyList<string> Types { get; } = ["t3.micro", "t3.small", "m6i.large"];

    /// <summary>Types (and zones) that have no room.</summary>
    public HashSet<string> Short { get; } = [];

    /// <summary>At most so many things in one answer, whatever was asked for.</summary>
    public int Page { get; set; } = 5;

    /// <summary>How long a create takes, and how many came at once.</summary>
    public Busy Creates { get; } = new();

    /// <summary>Permissions that the caller's policy does not give.</summary>
    public HashSet<string> Denied { get; } = [];

    /// <summary>The permission that is missing for this request: its own, or that for the tags which are put on along.</summary>
    public string? DeniedOf(string action, Parameters given) => Denied.Contains(action) ? action : given.First("TagSpecification") is not null && Denied.Contains("CreateTags") ? "CreateTags" : null;

    public IReadOnlyList<(string Kind, string Id, string Name, IReadOnlyDictionary<string, string> Tags)> Everything()
    {
        lock (_gate)
        {
            Settle();
            return [.. _things.Values.Where(thing => thing.State != "terminated").Select(thing => (thing.Kind, thing.Id, thing.Tags.GetValueOrDefault("Name") ?? "", (IReadOnlyDictionary<string, string>)new Dictionary<string, string>(thing.Tags)))];
        }
    }

    public Thing Find(string id)
    {
        lock (_gate) return _things[id];
    }

    public IEnumerable<object?> Answer(string action, Parameters given, bool full)
    {
        lock (_gate)
        {
            Settle();
            return
            [
                .. action switch
                {
                    "RunInstances" => Run(given, full),
                    "DescribeInstances" => Describe("instance", "InstanceId", given, instance => InstanceOf(instance), list => [new XElement("reservationSet", list.Select(one => new XElement("item", new XElement("reservationId", "r-1"), new XElement("instancesSet", one))))]),
                    "StartInstances" => Change(given, "stopped", "pending", "running", stays: ["pending", "running"]),
                    "StopInstances" => Change(given, "running", "stopping", "stopped", stays: ["stopping", "stopped"]),
                    "TerminateInstances" => Change(given, null, "shutting-down", "terminated", stays: ["shutting-down", "terminated"]),
                    "RebootInstances" => Reboot(given),
                    "DescribeVolumes" => Describe("volume", "VolumeId", given, VolumeOf, list => [new XElement("volumeSet", list)]),
                    "CreateVolume" => CreateVolume(given),
                    "DeleteVolume" => DeleteVolume(given),
                    "AttachVolume" => Attach(given),
                    "DetachVolume" => Detach(given),
                    "ModifyInstanceAttribute" => GoesWithIt(given),
                    "CreateSnapshot" => CreateSnapshot(given),
                    "DescribeSnapshots" => Describe("snapshot", "SnapshotId", given, SnapshotOf, list => [new XElement("snapshotSet", list)]),
                    "DeleteSnapshot" => Delete("snapshot", given["SnapshotId"]!, "InvalidSnapshot.NotFound"),
                    "DescribeNetworkInterfaces" => Describe("card", "NetworkInterfaceId", given, CardOf, list => [new XElement("networkInterfaceSet", list)]),
                    "DeleteNetworkInterface" => Delete("card", given["NetworkInterfaceId"]!, "InvalidNetworkInterfaceID.NotFound"),
                    "DescribeImages" => Images(given),
                    "DescribeSubnets" => [new XElement("subnetSet", Subnets.Where(subnet => Filtered(given, "subnet-id", subnet.Key)).Select(subnet => new XElement("item", new XElement("subnetId", subnet.Key), new XElement("vpcId", "vpc-0a"), new XElement("availabilityZone", subnet.Value))))],
                    "DescribeSecurityGroups" when given.List("Filter").All(filter => filter["Name"]!.StartsWith("tag:", StringComparison.Ordinal)) => Describe("group", "GroupId", given, GroupOf, list => [new XElement("securityGroupInfo", list)]),
                    "CreateSecurityGroup" => CreateGroup(given),
                    "AuthorizeSecurityGroupIngress" => LetIn(given),
                    "DeleteSecurityGroup" => DeleteGroup(given),
                    "DescribeSecurityGroups" => [new XElement("securityGroupInfo", new[] { "sg-0a" }.Where(group => Filtered(given, "group-id", group)).Select(group => new XElement("item", new XElement("groupId", group))))],
                    "DescribeInstanceTypeOfferings" => [new XElement("instanceTypeOfferingSet", Types.Where(type => Filtered(given, "instance-type", type)).Select(type => new XElement("item", new XElement("instanceType", type))))],
                    "GetConsoleOutput" => ConsoleOutput(given),
                    _ => throw new Ec2Refusal("InvalidAction", $"The action {action} is not valid for this web service."),
                },
            ];
        }
    }

    private IEnumerable<object> Run(Parameters given, bool full)
    {
        var token = given["ClientToken"] ?? Guid.NewGuid().ToString();
        var parameters = string.Join('\n', new[] { given["InstanceType"], given["ImageId"], given.First("NetworkInterface")?["SubnetId"], given["UserData"] });
        if (_tokens.TryGetValue(token, out var before))
        {
            if (before.Parameters != parameters) throw new Ec2Refusal("IdempotentParameterMismatch", "The client token you have provided is associated with a resource of other parameters.");
            return [new XElement("reservationId", "r-1"), new XElement("instancesSet", InstanceOf(_things[before.Id]))];
        }

        var type = given["InstanceType"] ?? "m1.small";
        if (!Types.Contains(type)) throw new Ec2Refusal("InvalidParameterValue", $"Invalid value '{type}' for InstanceType.");
        if (given["ImageId"] != "ami-00000001") throw new Ec2Refusal("InvalidAMIID.NotFound", $"The image id '[{given["ImageId"]}]' does not exist");
        if (given["UserData"] is { } data && Convert.FromBase64String(data).Length > 16384) throw new Ec2Refusal("InvalidParameterValue", "User data is limited to 16384 bytes");
        var nic = given.First("NetworkInterface");
        var subnet = nic?["SubnetId"] ?? "subnet-0a";
        if (!Subnets.TryGetValue(subnet, out var zone)) throw new Ec2Refusal("InvalidSubnetID.NotFound", $"The subnet ID '{subnet}' does not exist");
        foreach (var group in (nic?.Texts("SecurityGroupId") ?? []).Where(group => group != "sg-0a")) Seen("group", group, "InvalidGroup.NotFound");
        if (full || Short.Contains(type) || Short.Contains(zone)) throw new Ec2Refusal("InsufficientInstanceCapacity", $"We currently do not have sufficient {type} capacity in the Availability Zone you requested ({zone}).", 500);

        var instance = Make("instance", "i", "pending", given, "instance", then: "running");
        var disk = Make("volume", "vol", "in-use", given, "volume");
        var card = Make("card", "eni", "in-use", given, "network-interface");
        (disk.Zone, disk.Instance, card.Instance) = (zone, instance, instance);
        (instance.Zone, instance.Type, instance.Subnet, instance.Disk, instance.Card, instance.Given) = (zone, type, subnet, disk, card, given);
        instance.DiskGoesWithIt = given.First("BlockDeviceMapping")?.At("Ebs")["DeleteOnTermination"] != "false";
        instance.Address = $"10.0.{_things.Count / 250}.{(_things.Count % 250) + 4}";
        _tokens[token] = (parameters, instance.Id);
        return [new XElement("reservationId", "r-1"), new XElement("instancesSet", InstanceOf(instance))];
    }

    private IEnumerable<object> Change(Parameters given, string? from, string way, string then, string[] stays)
    {
        var changed = new List<XElement>();
        foreach (var instance in given.Texts("InstanceId").Select(id => Seen("instance", id, "InvalidInstanceID.NotFound")))
        {
            var was = instance.State;
            if (!stays.Contains(was))
            {
                if (from is not null && was != from) throw new Ec2Refusal("IncorrectInstanceState", $"The instance '{instance.Id}' is not in a state from which it can be changed.");
                if (way == "pending" && instance.Disk is null) throw new Ec2Refusal("IncorrectInstanceState", $"Instance '{instance.Id}' has no root volume.");
                instance.Turn(way, then, _clock.Elapsed + s_change);
            }

            changed.Add(new XElement("item", new XElement("instanceId", instance.Id), new XElement("currentState", StateOf(instance.State)), new XElement("previousState", StateOf(was))));
        }

        return [new XElement("instancesSet", changed)];
    }

    private IEnumerable<object> Reboot(Parameters given)
    {
        foreach (var instance in given.Texts("InstanceId").Select(id => Seen("instance", id, "InvalidInstanceID.NotFound")))
        {
            if (instance.State != "running") throw new Ec2Refusal("IncorrectState", $"Instance '{instance.Id}' is not in a state from which it can be rebooted.");
        }

        return [new XElement("return", "true")];
    }

    private IEnumerable<object> CreateVolume(Parameters given)
    {
        if (given["ClientToken"] is { } token && _tokens.TryGetValue(token, out var before) && _things.TryGetValue(before.Id, out var same)) return Elements(VolumeOf(same));
        if (given["SnapshotId"] is { } from) Seen("snapshot", from, "InvalidSnapshot.NotFound");
        var volume = Make("volume", "vol", "creating", given, "volume", then: "available");
        (volume.Zone, volume.From) = (given["AvailabilityZone"]!, given["SnapshotId"]);
        if (given["ClientToken"] is { } mine) _tokens[mine] = ("", volume.Id);
        return Elements(VolumeOf(volume));
    }

    private IEnumerable<object> DeleteVolume(Parameters given)
    {
        var volume = Seen("volume", given["VolumeId"]!, "InvalidVolume.NotFound");
        if (volume.State != "available") throw new Ec2Refusal("VolumeInUse", $"Volume {volume.Id} is currently attached to {volume.Instance?.Id}");
        _things.Remove(volume.Id);
        return [new XElement("return", "true")];
    }

    private IEnumerable<object> Attach(Parameters given)
    {
        var (volume, instance) = (Seen("volume", given["VolumeId"]!, "InvalidVolume.NotFound"), Seen("instance", given["InstanceId"]!, "InvalidInstanceID.NotFound"));
        if (volume.State != "available") throw new Ec2Refusal("VolumeInUse", $"{volume.Id} is already attached to an instance");
        if (instance.Disk is not null) throw new Ec2Refusal("InvalidParameterValue", $"Invalid value '{given["Device"]}' for unixDevice. Attachment point {given["Device"]} is already in use");
        if (volume.Zone != instance.Zone) throw new Ec2Refusal("InvalidVolume.ZoneMismatch", $"The volume '{volume.Id}' is not in the same availability zone as instance '{instance.Id}'");
        (volume.State, volume.Instance, instance.Disk, instance.DiskGoesWithIt) = ("in-use", instance, volume, false);
        return [new XElement("volumeId", volume.Id), new XElement("instanceId", instance.Id), new XElement("status", "attaching")];
    }

    private IEnumerable<object> Detach(Parameters given)
    {
        var volume = Seen("volume", given["VolumeId"]!, "InvalidVolume.NotFound");
        if (volume.Instance is not { } instance) throw new Ec2Refusal("IncorrectState", $"Volume '{volume.Id}' is in the 'available' state.");
        if (instance.State is not "stopped") throw new Ec2Refusal("OperationNotPermitted", "Unable to detach root volume from a running instance");
        volume.Turn("in-use", "available", _clock.Elapsed + s_change);
        (volume.Instance, instance.Disk) = (null, null);
        return [new XElement("volumeId", volume.Id), new XElement("instanceId", instance.Id), new XElement("status", "detaching")];
    }

    private IEnumerable<object> GoesWithIt(Parameters given)
    {
        var instance = Seen("instance", given["InstanceId"]!, "InvalidInstanceID.NotFound");
        instance.DiskGoesWithIt = given.List("BlockDeviceMapping").Single().At("Ebs")["DeleteOnTermination"] == "true";
        return [new XElement("return", "true")];
    }

    private IEnumerable<object> CreateGroup(Parameters given)
    {
        var name = given["GroupName"]!;
        if (_things.Values.Any(other => other.Kind == "group" && other.Type == name)) throw new Ec2Refusal("InvalidGroup.Duplicate", $"The security group '{name}' already exists for VPC '{given["VpcId"]}'");
        if (given["VpcId"] != "vpc-0a") throw new Ec2Refusal("InvalidVpcID.NotFound", $"The vpc ID '{given["VpcId"]}' does not exist");
        var group = Make("group", "sg", "available", given, "security-group");
        group.Type = name;
        return [new XElement("groupId", group.Id)];
    }

    private IEnumerable<object> LetIn(Parameters given)
    {
        var group = Seen("group", given["GroupId"]!, "InvalidGroup.NotFound");
        if (group.Rules.Count > 0) throw new Ec2Refusal("InvalidPermission.Duplicate", "the specified rule already exists");
        group.Rules.AddRange(given.List("IpPermissions"));
        return [new XElement("return", "true")];
    }

    private IEnumerable<object> DeleteGroup(Parameters given)
    {
        var group = Seen("group", given["GroupId"]!, "InvalidGroup.NotFound");
        if (_things.Values.Any(thing => thing is { Kind: "instance", State: not "terminated" } && (thing.Given.First("NetworkInterface")?.Texts("SecurityGroupId") ?? []).Contains(group.Id)))
            throw new Ec2Refusal("DependencyViolation", $"resource {group.Id} has a dependent object");
        _things.Remove(group.Id);
        return [new XElement("return", "true")];
    }

    private IEnumerable<object> CreateSnapshot(Parameters given)
    {
        Seen("volume", given["VolumeId"]!, "InvalidVolume.NotFound");
        return Elements(SnapshotOf(Make("snapshot", "snap", "pending", given, "snapshot", then: "completed")));
    }

    private IEnumerable<object> Delete(string kind, string id, string missing)
    {
        var thing = Seen(kind, id, missing);
        if (thing.Instance is not null) throw new Ec2Refusal("InvalidParameterValue", $"{id} is currently in use.");
        _things.Remove(id);
        return [new XElement("return", "true")];
    }

    private static IEnumerable<object> Images(Parameters given)
    {
        var ids = given.Texts("ImageId");
        if (ids.FirstOrDefault(id => id != "ami-00000001") is { } missing) throw new Ec2Refusal("InvalidAMIID.NotFound", $"The image id '[{missing}]' does not exist");
        (string Id, string Name, string At)[] images = [("ami-00000001", "tiny-2", "2026-02-01T00:00:00.000Z"), ("ami-00000002", "tiny-1", "2026-01-01T00:00:00.000Z")];
        return
        [
            new XElement("imagesSet", images.Where(image => (ids.Count == 0 || ids.Contains(image.Id)) && Filtered(given, "name", image.Name)).Select(image => new XElement("item",
                new XElement("imageId", image.Id), new XElement("imageState", "available"), new XElement("name", image.Name), new XElement("creationDate", image.At), new XElement("rootDeviceName", "/dev/xvda"),
                new XElement("blockDeviceMapping", new XElement("item", new XElement("deviceName", "/dev/xvda"), new XElement("ebs", new XElement("volumeSize", 2))))))),
        ];
    }

    private IEnumerable<object> ConsoleOutput(Parameters given)
    {
        var instance = Seen("instance", given["InstanceId"]!, "InvalidInstanceID.NotFound");
        var text = $"{System.Text.Encoding.UTF8.GetString(Convert.FromBase64String(instance.Given["UserData"] ?? ""))}\nlogin: ";
        return [new XElement("instanceId", instance.Id), new XElement("timestamp", Time(DateTimeOffset.UnixEpoch)), new XElement("output", Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes(text)))];
    }

    private IEnumerable<object> Describe(string kind, string idName, Parameters given, Func<Thing, XElement> told, Func<IReadOnlyList<XElement>, IEnumerable<object>> wrap)
    {
        var ids = given.Texts(idName);
        var found = (ids.Count > 0 ? ids.Select(id => Seen(kind, id, $"Invalid{idName}.NotFound")) : _things.Values.Where(thing => thing.Kind == kind && thing.ShownAt <= _clock.Elapsed))
            .Where(thing => given.List("Filter").All(filter => Matches(filter, thing))).OrderBy(thing => thing.Id, StringComparer.Ordinal).ToList();
        var from = given["NextToken"] is { } token ? int.Parse(token, CultureInfo.InvariantCulture) : 0;
        var most = Math.Min(Page, given["MaxResults"] is { } asked ? int.Parse(asked, CultureInfo.InvariantCulture) : 1000);
        var more = from + most < found.Count;
        return [.. wrap([.. found.Skip(from).Take(most).Select(told)]), .. more ? [new XElement("nextToken", from + most)] : Array.Empty<XElement>()];
    }

    private static bool Matches(Parameters filter, Thing thing)
    {
        var (name, values) = (filter["Name"]!, filter.Texts("Value"));
        if (name.StartsWith("tag:", StringComparison.Ordinal)) return thing.Tags.TryGetValue(name[4..], out var value) && values.Any(pattern => Like(pattern, value));
        throw new Ec2Refusal("InvalidParameterValue", $"The filter '{name}' is invalid");
    }

    private static bool Filtered(Parameters given, string name, string value)
        => given.List("Filter").Where(filter => filter["Name"] == name).All(filter => filter.Texts("Value").Any(pattern => Like(pattern, value)));

    private static bool Like(string pattern, string value)
        => Regex.IsMatch(value, "^" + Regex.Escape(pattern).Replace("\\*", ".*", StringComparison.Ordinal).Replace("\\?", ".", StringComparison.Ordinal) + @"\z", RegexOptions.Singleline | RegexOptions.CultureInvariant, TimeSpan.FromSeconds(1));

    /// <summary>What was made a moment ago is not found by its id either.</summary>
    private Thing Seen(string kind, string id, string missing) => _things.TryGetValue(id, out var thing) && thing.Kind == kind && thing.ShownAt <= _clock.Elapsed
        ? thing
        : throw new Ec2Refusal(missing, $"The {kind} ID '{id}' does not exist");

    private Thing Make(string kind, string prefix, string state, Parameters given, string type, string? then = null)
    {
        var thing = new Thing
        {
            Kind = kind, Id = string.Create(CultureInfo.InvariantCulture, $"{prefix}-{_last++:x17}"), State = state, ShownAt = _clock.Elapsed + s_lag, MadeAt = DateTimeOffset.UtcNow,
            Tags = given.List("TagSpecification").Where(some => some["ResourceType"] == type).SelectMany(some => some.List("Tag")).ToDictionary(tag => tag["Key"]!, tag => tag["Value"] ?? ""),
        };
        if (thing.Tags.Any(tag => tag.Key.Length > 127 || tag.Value.Length > 256 || tag.Key.StartsWith("aws:", StringComparison.OrdinalIgnoreCase))) throw new Ec2Refusal("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters");
        if (then is not null) thing.Turn(state, then, _clock.Elapsed + s_change);
        return _things[thing.Id] = thing;
    }

    private void Settle()
    {
        foreach (var thing in _things.Values.Where(thing => thing.Next is not null && thing.NextAt <= _clock.Elapsed).ToList())
        {
            (thing.State, thing.Next) = (thing.Next!, null);
            if (thing.State != "terminated") continue;
            if (thing.Card is not null) _things.Remove(thing.Card.Id);
            if (thing.Disk is { } disk && thing.DiskGoesWithIt) _things.Remove(disk.Id);
            else if (thing.Disk is { } left) (left.State, left.Instance) = ("available", null);
        }
    }

    private static XElement InstanceOf(Thing instance) => new("item",
        new XElement("instanceId", instance.Id), new XElement("imageId", "ami-00000001"), new XElement("instanceState", StateOf(instance.State)), new XElement("instanceType", instance.Type),
        new XElement("placement", new XElement("availabilityZone", instance.Zone)), new XElement("subnetId", instance.Subnet),
        instance.State is "running" or "stopped" ? new XElement("privateIpAddress", instance.Address) : null,
        new XElement("rootDeviceName", "/dev/xvda"),
        new XElement("blockDeviceMapping", instance.Disk is null ? null : new XElement("item", new XElement("deviceName", "/dev/xvda"), new XElement("ebs", new XElement("volumeId", instance.Disk.Id), new XElement("status", "attached"), new XElement("deleteOnTermination", instance.DiskGoesWithIt ? "true" : "false")))),
        TagsOf(instance));

    private static XElement VolumeOf(Thing volume) => new("item",
        new XElement("volumeId", volume.Id), new XElement("size", 2), new XElement("availabilityZone", volume.Zone), new XElement("status", volume.State), volume.From is null ? null : new XElement("snapshotId", volume.From), TagsOf(volume));

    private static XElement SnapshotOf(Thing snapshot) => new("item",
        new XElement("snapshotId", snapshot.Id), new XElement("status", snapshot.State), new XElement("startTime", Time(snapshot.MadeAt)), TagsOf(snapshot));

    private static XElement CardOf(Thing card) => new("item", new XElement("networkInterfaceId", card.Id), new XElement("status", card.State), TagsOf(card));

    private static XElement GroupOf(Thing group) => new("item",
        new XElement("groupId", group.Id), new XElement("groupName", group.Type),
        new XElement("ipPermissions", group.Rules.Select(rule => new XElement("item", new XElement("ipProtocol", rule["IpProtocol"]), rule["FromPort"] is { } from ? new XElement("fromPort", from) : null, rule["ToPort"] is { } to ? new XElement("toPort", to) : null))),
        TagsOf(group));

    private static XElement TagsOf(Thing thing) => new("tagSet", thing.Tags.Select(tag => new XElement("item", new XElement("key", tag.Key), new XElement("value", tag.Value))));

    private static XElement[] StateOf(string state) => [new("code", state switch { "pending" => 0, "running" => 16, "shutting-down" => 32, "terminated" => 48, "stopping" => 64, _ => 80 }), new("name", state)];

    private static IEnumerable<object> Elements(XElement item) => item.Elements();

    private static string Time(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);
}

internal sealed class Thing
{
    public required string Kind { get; init; }
    public required string Id { get; init; }
    public required string State { get; set; }
    public required TimeSpan ShownAt { get; init; }
    public required DateTimeOffset MadeAt { get; init; }
    public required Dictionary<string, string> Tags { get; init; }
    public string? Next { get; set; }
    public TimeSpan NextAt { get; private set; }
    public string Zone { get; set; } = "";
    public string Type { get; set; } = "";
    public string Subnet { get; set; } = "";
    public string Address { get; set; } = "";
    public string? From { get; set; }
    public Thing? Disk { get; set; }
    public bool DiskGoesWithIt { get; set; }
    public Thing? Card { get; set; }
    public Thing? Instance { get; set; }
    public List<Parameters> Rules { get; } = [];
    public Parameters Given { get; set; } = new(new Dictionary<string, string>());

    public void Turn(string state, string next, TimeSpan at) => (State, Next, NextAt) = (state, next, at);
}
