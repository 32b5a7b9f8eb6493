using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LabPortal.Cli.Api;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.Labs;

/// <summary>
/// Which lab is meant: by id, by name, or by the beginning of its id where no lab has that name. Where several have the name, the living one;
/// where several are left, none is guessed.
/// </summary>
internal static partial class LabFinder
{
    private const int MostCandidates = 10;

    public static async Task<JsonNode> FindAsync(PortalApi api, string text, CancellationToken cancellation)
    {
        if (Guid.TryParseExact(text, "D", out var id)) return await api.GetAsync($"labs/{id}", cancellation);
        if (text.Length == 0) throw new CommandFailed(Exit.Invalid, "Which lab? Give its name or its id.");
        var named = (await api.ListAsync("labs", [("q", text)], null, cancellation)).Items("items").Where(lab => lab.Text("name") == text).ToList();
        var found = named.Count > 0 ? named : [.. await BeginningWithAsync(api, text.ToLowerInvariant(), cancellation)];
        if (found.Any(lab => !IsOver(lab))) found = [.. found.Where(lab => !IsOver(lab))];
        return found switch
        {
            // The list leaves out the steps.
            [var lab] => await api.GetAsync($"labs/{lab.Text("id")}", cancellation),
            [] => throw new CommandFailed(Exit.NotFound, $"There is no lab called \"{Safe.Text(text)}\", or you may not see it."),
            _ => throw new CommandFailed(Exit.Invalid, string.Join('\n', [$"\"{Safe.Text(text)}\" may mean several labs; say which by its id:",
                .. found.Take(MostCandidates).Select(lab => Safe.Text($"  {lab.Text("id")}  {lab.Text("name")}  {lab.Text("state")}  {lab.Text("owner")}"))])),
        };
    }

    /// <summary>LAB, or LAB/MACHINE.</summary>
    public static async Task<(JsonNode Lab, string? Machine)> FindMachineAsync(PortalApi api, string text, CancellationToken cancellation)
    {
        if (text.LastIndexOf('/') is not (> 0 and var slash)) return (await FindAsync(api, text, cancellation), null);
        var (lab, machine) = (await FindAsync(api, text[..slash], cancellation), text[(slash + 1)..]);
        var machines = lab.Items("machines").Select(known => known.Text("name")).ToList();
        return machines.Contains(machine)
            ? (lab, machine)
            : throw new CommandFailed(Exit.NotFound, Safe.Text($"{lab.Text("name")} has no machine called \"{machine}\"; it has {string.Join(", ", machines)}."));
    }

    /// <summary>LAB/MACHINE, or LAB where it has only one.</summary>
    public static async Task<(JsonNode Lab, JsonNode Machine)> FindOneMachineAsync(PortalApi api, string text, CancellationToken cancellation)
    {
        var (lab, name) = await FindMachineAsync(api, text, cancellation);
        var machines = lab.Items("machines").ToList();
        return (name, machines) switch
        {
            (null, [var only]) => (lab, only),
            (null, _) => throw new CommandFailed(Exit.Invalid, Safe.Text($"Which machine of {lab.Text("name")}? Say {lab.Text("name")}/MACHINE with one of: {string.Join(", ", machines.Select(machine => machine.Text("name")))}.")),
            _ => (lab, machines.First(machine => machine.Text("name") == name)),
        };
    }

    public static bool IsOver(JsonNode lab) => lab.Text("state") is "ended" or "failed";

    // Labs are listed by their ids, the latest first: those with this beginning come right after the greatest id that it can have.
    private static async Task<IEnumerable<JsonNode>> BeginningWithAsync(PortalApi api, string beginning, CancellationToken cancellation)
    {
        const string greatest = "ffffffff-ffff-ffff-ffff-ffffffffffff";
        if (!IdBeginning().IsMatch(beginning) || !Guid.TryParseExact(beginning + greatest[beginning.Length..], "D", out var after)) return [];
        var page = await api.ListAsync("labs", [("after", after.ToString())], MostCandidates, cancellation);
        return page.Items("items").Where(lab => lab.Text("id").StartsWith(beginning, StringComparison.Ordinal));
    }

    [GeneratedRegex(@"\A[0-9a-f-]{4,35}\z", RegexOptions.CultureInvariant)]
    private static partial Regex IdBeginning();
}
