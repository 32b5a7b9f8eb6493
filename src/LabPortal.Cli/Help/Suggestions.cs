using System.CommandLine.Completions;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Nodes;
using LabPortal.Cli.Shell;
using LabPortal.Cli.SignIn;

namespace LabPortal.Cli.Help;

/// <summary>
/// Names from the portal for a shell's completion. A shell puts them into the command line as they are, so that only names that are one
/// harmless word are given; a portal that does not answer at once has none.
/// </summary>
internal static class Suggestions
{
    /// <summary>Seconds, where the usual two are too few: a slow line, a busy machine.</summary>
    private const string PatienceVariable = "LAB_COMPLETION_SECONDS";

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(int.TryParse(Account.Variable(PatienceVariable), out var seconds) && seconds is > 0 and <= 600 ? seconds : 2);

    public static IEnumerable<CompletionItem> Labs(CompletionContext context)
        => Names($"labs?limit=200&state=requested,awaiting-approval,scheduled,provisioning,ready,stopped,grace,ending&q={Uri.EscapeDataString(context.WordToComplete)}");

    public static IEnumerable<CompletionItem> Blueprints(CompletionContext context) => Names("blueprints?limit=200");

    public static IEnumerable<CompletionItem> Teams(CompletionContext context) => Names("teams?limit=200");

    public static IEnumerable<CompletionItem> Pools(CompletionContext context) => Names("pools?limit=200");

    private static List<CompletionItem> Names(string path)
    {
        try
        {
            var account = Account.OfThisPerson();
            using var http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, ConnectTimeout = s_patience }) { Timeout = s_patience };
            using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(account.Address, "api/v1/" + path)) { Headers = { Authorization = new AuthenticationHeaderValue("Bearer", account.Token) } };
            using var response = http.Send(request);
            using var answer = response.Content.ReadAsStream();
            return [.. JsonNode.Parse(answer).Items("items").Select(item => item.Text("name")).Where(Safe.IsWord).Select(name => new CompletionItem(name))];
        }
        catch (Exception fault) when (fault is HttpRequestException or OperationCanceledException or JsonException or CommandFailed or IOException)
        {
            // Completion has no place to say it in; the command itself will.
            return [];
        }
    }
}
