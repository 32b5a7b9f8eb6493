using System.Text.RegularExpressions;
using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Data.Images;
using LabPortal.Data.People;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Images;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Consoles;
using LabPortal.Operations.People;

namespace LabPortal.Operations.Machines;

/// <summary>What guests are told at their first boot.</summary>
public sealed partial class GuestSeeds(Database database, SecretStore secrets, TimeProvider time)
{
    /// <summary>The name under which the generated password of a lab is kept.</summary>
    public static string PasswordName(LabId lab) => $"lab/{lab}/password";

    /// <summary>
    /// The owner's keys as they are now, and the portal's own for its terminal; the generated password where the owner had none at the request; the blueprint's user data with the
    /// lab's parameters in it; the machine's own host key, unless its user data brings host keys or its guest is one that takes none. The same for every attempt
    /// in a generation, as long as the owner's keys stay.
    /// </summary>
    public async Task<GuestSeed> OfAsync(Lab lab, Machine machine, CancellationToken cancellation)
    {
        var (seed, image) = await ReadAsync(lab, machine, cancellation);
        return image.Os == "windows" || seed.UserData.ContainsKey("ssh_keys")
            ? seed
            : seed with { HostKey = await database.WriteAsync(session => HostKeys.OfAsync(session, secrets, machine, time.Now()), cancellation) };
    }

    private Task<(GuestSeed Seed, Image Image)> ReadAsync(Lab lab, Machine machine, CancellationToken cancellation) => database.ReadAsync(
        async session =>
        {
            var blueprint = await BlueprintStore.FindAsync(session, lab.Blueprint, lab.BlueprintVersion);
            // The trial of a pool has none.
            if (blueprint is null && lab.Blueprint.Length > 0) throw new InvalidOperationException($"Blueprint {lab.Blueprint} has no version {lab.BlueprintVersion}.");
            var image = await ImageStore.FindAsync(session, machine.Image, machine.ImageVersion)
                ?? throw new ProviderFault(FaultKind.Rejected, $"Version {machine.ImageVersion} of image \"{machine.Image}\" is no longer in the catalogue.");
            var keys = await SshKeyStore.ListAsync(session, lab.Owner);
            var password = await secrets.FindAsync(session, PasswordName(lab.Id));
            var portal = await secrets.FindAsync(session, PortalKey.NameOf(lab.Id));
            var userData = blueprint is null ? new Dictionary<string, object>() : Fill(blueprint.Machines.Single(entry => entry.Name == machine.Name).UserData, blueprint.Parameters, lab.Parameters);
            return (new GuestSeed(image.User, [.. keys.Select(key => key.PublicKey), .. portal is null ? Array.Empty<string>() : [PortalKey.PublicOf(portal.Reveal())]], password, userData), image);
        },
        cancellation);

    /// <summary>
    /// Puts values where text names a parameter as <c>${name}</c>: as data of the same text, so a value can never add a key or a line. A text that
    /// is nothing but one parameter takes its type (integer, boolean). Other <c>${…}</c> are the guest's own and stay.
    /// </summary>
    internal static IReadOnlyDictionary<string, object> Fill(IReadOnlyDictionary<string, object> userData, IReadOnlyList<Parameter> parameters, IReadOnlyDictionary<string, string> values)
        => userData.ToDictionary(pair => pair.Key, pair => Fill(pair.Value, parameters, values), StringComparer.Ordinal);

    private static object Fill(object node, IReadOnlyList<Parameter> parameters, IReadOnlyDictionary<string, string> values) => node switch
    {
        string text => FillText(text, parameters, values),
        IReadOnlyDictionary<string, object> map => Fill(map, parameters, values),
        IReadOnlyList<object> list => list.Select(item => Fill(item, parameters, values)).ToList(),
        _ => node,
    };

    private static object FillText(string text, IReadOnlyList<Parameter> parameters, IReadOnlyDictionary<string, string> values)
    {
        if (Named().Match(text) is { Success: true } whole && whole.Length == text.Length && values.TryGetValue(whole.Groups["name"].Value, out var only))
        {
            return parameters.FirstOrDefault(parameter => parameter.Name == whole.Groups["name"].Value)?.Type switch
            {
                ParameterType.Integer => long.Parse(only, System.Globalization.CultureInfo.InvariantCulture),
                ParameterType.Boolean => only == "true",
                _ => only,
            };
        }

        return Named().Replace(text, match => values.GetValueOrDefault(match.Groups["name"].Value, match.Value));
    }

    [GeneratedRegex(@"\$\{(?<name>[A-Za-z][A-Za-z0-9_-]*)\}", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture)]
    private static partial Regex Named();
}
