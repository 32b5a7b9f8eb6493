using System.CommandLine;
using System.Text.Json.Nodes;
using LabPortal.Cli.Api;
using LabPortal.Cli.Shell;
using LabPortal.Cli.SignIn;
using Spectre.Console.Rendering;

namespace LabPortal.Cli;

/// <summary>One command as it was typed: its values, the portal that it calls, and the form of its answer.</summary>
internal sealed class Call(ParseResult parsed) : IDisposable
{
    public static readonly Option<string> Output = Answer.FormOption();
    public static readonly Option<bool> Verbose = new("--verbose") { Description = "Tell each call to the portal, and the trace id of a problem.", Recursive = true };

    private PortalApi? _api;

    /// <summary>Also where a command failed before it got anywhere.</summary>
    public static bool IsVerbose { get; private set; }

    public PortalApi Api => _api ??= new PortalApi(Account.OfThisPerson(), IsVerbose);

    public T? Value<T>(Option<T> option) => parsed.GetValue(option);

    public T? Value<T>(Argument<T> argument) => parsed.GetValue(argument);

    /// <summary>The answer on the standard output; <paramref name="table"/> is only drawn where a table is asked for.</summary>
    public void Write(JsonNode answer, Func<JsonNode, IRenderable> table) => Answer.Write(answer, parsed.GetValue(Output), table);

    public void Dispose() => _api?.Dispose();

    internal static Func<ParseResult, CancellationToken, Task<int>> Of(Func<Call, CancellationToken, Task<int>> act) => async (parsed, cancellation) =>
    {
        IsVerbose = parsed.GetValue(Verbose);
        using var call = new Call(parsed);
        return await act(call, cancellation);
    };
}

internal static class Calls
{
    /// <summary>What the command does; where it ends without a fault, it is done.</summary>
    public static Command Does(this Command command, Func<Call, CancellationToken, Task> act) => command.Ends(async (call, cancellation) =>
    {
        await act(call, cancellation);
        return (int)Exit.Done;
    });

    /// <summary>The same, where it ends as another program did.</summary>
    public static Command Ends(this Command command, Func<Call, CancellationToken, Task<int>> act)
    {
        command.SetAction(Call.Of(act));
        return command;
    }
}
