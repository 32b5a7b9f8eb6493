using System.CommandLine;
using System.CommandLine.Completions;
using System.Text.Json.Nodes;
using Spectre.Console.Rendering;

namespace LabPortal.Cli.Shell;

internal static class Listing
{
    /// <summary>A command that shows all that the API has under this word, or one of them by its name.</summary>
    public static Command Of(string word, string description, string one, string oneHas, Func<JsonNode, IRenderable> all, Func<JsonNode, IRenderable> single, Func<CompletionContext, IEnumerable<CompletionItem>> suggestions)
    {
        var name = new Argument<string?>(one) { HelpName = one, Description = oneHas, Arity = ArgumentArity.ZeroOrOne, CompletionSources = { suggestions } };
        return new Command(word, description) { name }.Does(async (call, cancellation) =>
        {
            if (call.Value(name) is { } known) call.Write(await call.Api.GetAsync($"{word}/{Uri.EscapeDataString(known)}", cancellation), single);
            else call.Write(await call.Api.ListAsync(word, [], null, cancellation), all);
        });
    }
}
