using System.Collections;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers;

/// <summary>A machine's spec → what cloud-init in its guest is told. Pure: the same spec gives the same bytes.</summary>
internal static class CloudConfig
{
    // As many letters as may stay themselves: YAML, which cloud-init reads this as, has no surrogate pairs in escapes.
    private static readonly JsonSerializerOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>cloud-init's NoCloud (https://docs.cloud-init.io, "NoCloud"): an ISO labelled <c>cidata</c> with three files.</summary>
    public static byte[] NoCloud(MachineSpec machine) => Iso9660.Write("cidata",
    [
        ("meta-data", Text(new JsonObject { ["instance-id"] = machine.Owner.ResourceName, ["local-hostname"] = machine.HostName })),
        ("user-data", Text(UserData(machine.Seed), "#cloud-config\n")),
        ("network-config", Text(NetworkConfig(machine))),
    ]);

    /// <summary>The caller's own data, with our user in front of its users. JSON, which is YAML as well.</summary>
    public static JsonObject UserData(GuestSeed seed)
    {
        var data = (JsonObject)ToJson(seed.UserData)!;
        var user = new JsonObject { ["name"] = seed.UserName, ["lock_passwd"] = seed.Password is null, ["shell"] = "/bin/bash" };
        if (seed.Password is { } password) user["plain_text_passwd"] = password.Reveal();
        if (seed.UserName != "root") user["sudo"] = "ALL=(ALL) NOPASSWD:ALL";
        if (seed.AuthorizedKeys.Count > 0) user["ssh_authorized_keys"] = new JsonArray([.. seed.AuthorizedKeys.Select(key => JsonValue.Create(key.Trim()))]);
        var users = new JsonArray(user);
        if (data["users"] is JsonArray others)
        {
            foreach (var other in others) users.Add(other?.DeepClone());
        }

        data["users"] = users;
        // cloud-init's module ssh: with a key of the seed the guest makes none itself, of no other kind either.
        if (seed.HostKey is { } key) data["ssh_keys"] = new JsonObject { ["ed25519_private"] = key.Private.Reveal(), ["ed25519_public"] = key.Public };
        data["ssh_pwauth"] = seed.Password is not null;
        data["disable_root"] = seed.UserName != "root";
        return data;
    }

    private static JsonNode? ToJson(object? value) => value switch
    {
        null => null,
        JsonNode node => node.DeepClone(),
        JsonElement element => JsonNode.Parse(element.GetRawText()),
        string text => JsonValue.Create(text),
        bool truth => JsonValue.Create(truth),
        Secret secret => JsonValue.Create(secret.Reveal()),
        IEnumerable<KeyValuePair<string, object>> map => new JsonObject(map.Select(pair => KeyValuePair.Create(pair.Key, ToJson(pair.Value)))),
        IEnumerable list => new JsonArray([.. list.Cast<object?>().Select(ToJson)]),
        IFormattable and (int or long or short or byte or uint or double or float or decimal) => JsonSerializer.SerializeToNode(value, value.GetType()),
        _ => throw new ProviderFault(FaultKind.Rejected, $"User data holds a value of the kind {value.GetType().Name}, which cloud-config has not."),
    };

    private static byte[] Text(JsonObject value, string head = "") => Encoding.UTF8.GetBytes(head + value.ToJsonString(Json) + "\n");

    /// <summary>The user data as a file, for a kind of pool that hands it over itself, with metadata of its own: the host's name stands in it too.</summary>
    public static byte[] UserDataFile(MachineSpec machine)
    {
        var data = UserData(machine.Seed);
        data["hostname"] ??= machine.HostName;
        return Text(data, "#cloud-config\n");
    }

    /// <summary>cloud-init's network configuration, version 2: each card by its MAC address, since no order of cards is promised to a guest.</summary>
    private static JsonObject NetworkConfig(MachineSpec machine) => new()
    {
        ["version"] = 2,
        ["ethernets"] = new JsonObject(machine.Cards.Select(card => KeyValuePair.Create<string, JsonNode?>(
            card.Network is null ? "first" : string.Create(CultureInfo.InvariantCulture, $"card{card.Number}"), Ethernet(machine.Owner, card)))),
    };

    private static JsonObject Ethernet(Owner owner, CardSpec card)
    {
        var match = new JsonObject { ["macaddress"] = owner.DerivedMac(card.Number) };
        return card.Network is null
            ? new JsonObject { ["match"] = match, ["dhcp4"] = true }
            : new JsonObject { ["match"] = match, ["addresses"] = new JsonArray($"{card.Address}/{card.PrefixLength}") };
    }
}
