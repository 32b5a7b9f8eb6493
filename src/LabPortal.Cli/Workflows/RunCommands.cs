using System.CommandLine;
using System.Text.Json.Nodes;
using LabPortal.Cli.Labs;
using LabPortal.Cli.Shell;
using Spectre.Console.Rendering;

namespace LabPortal.Cli.Workflows;

internal static class RunCommands
{
    private static readonly string[] s_states = ["running", "undoing", "stuck", "done", "undone", "abandoned"];

    public static Command Runs()
    {
        var run = new Argument<string?>("RUN") { Description = "One of them by its id, with its steps.", Arity = ArgumentArity.ZeroOrOne };
        var state = new Option<string?>("--state") { Description = $"In this state: {string.Join(", ", s_states)}.", HelpName = "STATE", CompletionSources = { s_states } };
        var limit = LabCommands.Limit();
        return new Command("runs", "Runs of workflows, the newest first (administrators).") { run, state, limit }.Does(async (call, cancellation) =>
        {
            if (call.Value(run) is { } id) call.Write(await call.Api.GetAsync($"runs/{Uri.EscapeDataString(id)}", cancellation), One);
            else call.Write(await call.Api.ListAsync("runs", call.Value(state) is { } word ? [("state", word)] : [], call.Value(limit), cancellation), List);
        });
    }

    private static IRenderable List(JsonNode listing) => Tables.Rows(listing.Items("items"),
        Column.Field("LAB", "labName"),
        Column.Field("TEAM", "team"),
        Column.Field("WORKFLOW", "workflow"),
        Column.Field("STATE", "state"),
        Column.Field("STEP", "step"),
        new("STEPS", run => $"{run.Text("stepsDone")}/{run.Text("stepsTotal")}", IsNumber: true),
        new("SINCE", run => Moments.Show(run.Text("since"))),
        Column.Field("ASKED BY", "askedBy"),
        Column.Field("PROBLEM", "problem"),
        Column.Field("ID", "id"));

    private static IRenderable One(JsonNode run) => Tables.Stack(
        Tables.Facts(
            ("Run", run.Text("id")),
            ("Lab", $"{run.Text("labName")} of {run.Text("team")}"),
            ("Workflow", run.Text("workflow")),
            ("State", run.Text("state")),
            ("Since", Moments.Show(run.Text("since"))),
            ("Asked by", run.Text("askedBy")),
            ("Problem", run.Text("problem"))),
        Tables.Rows(run.Items("steps"),
            Column.Field("STEP", "step"),
            Column.Field("MACHINE", "machine"),
            Column.Field("STATE", "state"),
            Column.Field("ATTEMPT", "attempt", isNumber: true),
            new("AT", step => Moments.Show(step.Text("at"))),
            Column.Field("NOTE", "note")));
}
