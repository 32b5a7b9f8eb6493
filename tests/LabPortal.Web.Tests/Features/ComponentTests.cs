using Bunit;
using LabPortal.Domain;
using LabPortal.Domain.Quotas;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Labs;
using LabPortal.Operations.Telemetry;
using LabPortal.Web.Features.Labs;
using LabPortal.Web.Features.Shell;
using LabPortal.Web.Features.Workflows;
using Microsoft.AspNetCore.Components;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using MudBlazor.Services;
using NodaTime;

namespace LabPortal.Web.Tests.Features;

public sealed class ComponentTests : BunitContext
{
    public ComponentTests()
    {
        JSInterop.Mode = JSRuntimeMode.Loose;
        Services.AddMudServices();
        Services.AddSingleton(TimeProvider.System);
        Services.AddScoped<Browser>();
    }

    [Fact]
    public void Progress_shows_each_step_for_each_machine_with_its_newest_attempt()
    {
        StepView[] steps =
        [
            new("place", "web", "done", 1, null, null, null), new("place", "db", "done", 1, null, null, null),
            new("create", "web", "failed", 1, null, null, "no answer"), new("create", "web", "doing", 2, null, null, null), new("create", "db", "pending", 1, null, null, null),
            new("ready", null, "pending", 1, null, null, null),
        ];

        var progress = Render<RunProgress>(parameters => parameters.Add(part => part.Run, Run(steps)).Add(part => part.Machines, ["web", "db"]));

        Assert.Equal(3, progress.FindAll("tbody tr").Count);
        Assert.Equal(5, progress.FindAll(".mark").Count);
        var create = progress.FindAll("tbody tr")[1];
        Assert.Contains("now", create.ClassList);
        Assert.Empty(create.QuerySelectorAll(".mark.bad"));
        Assert.Single(create.QuerySelectorAll(".mark.busy"));
    }

    [Fact]
    public void A_page_that_breaks_shows_the_id_that_its_log_line_has()
    {
        using var ids = PortalTrace.MakeIds();
        var logged = new LoggedTraces();
        Services.AddLogging(logging => logging.Configure(options => options.ActivityTrackingOptions = ActivityTrackingOptions.TraceId).AddProvider(logged));

        var page = Render<PageErrors>(parameters => parameters
            .AddChildContent<Breaking>()
            .Add(boundary => boundary.ErrorContent, _ => builder => builder.AddContent(0, "broken")));

        Assert.Matches("[0-9a-f]{32}$", page.Instance.Told);
        Assert.Contains(page.Instance.Told[^32..], logged.Traces);
    }

    [Fact]
    public void The_journal_shows_each_attempt_with_its_fault_and_when_it_is_tried_again()
    {
        var at = Instant.FromUtc(2026, 7, 1, 8, 0);
        AttemptView[] journal =
        [
            new("forward", "create", "web", 1, "failed", at, at + Duration.FromSeconds(3), at + Duration.FromSeconds(13), "transient", "<b>no answer</b>"),
            new("forward", "create", "web", 2, "done", at + Duration.FromSeconds(13), at + Duration.FromSeconds(14), null, null, null),
            new("backward", "create", "web", 1, "undone", at + Duration.FromSeconds(20), at + Duration.FromSeconds(21), null, null, null),
        ];

        var rows = Render<JournalTable>(parameters => parameters.Add(table => table.Journal, journal)).FindAll("tbody tr");

        Assert.Equal(3, rows.Count);
        Assert.Contains("Away. <b>no answer</b>", rows[0].TextContent, StringComparison.Ordinal);
        Assert.Contains("again at 08:00:13", rows[0].TextContent, StringComparison.Ordinal);
        Assert.DoesNotContain("again", rows[1].TextContent, StringComparison.Ordinal);
        Assert.Contains("taken back", rows[2].TextContent, StringComparison.Ordinal);
    }

    private sealed class Breaking : ComponentBase
    {
        protected override void OnInitialized() => throw new InvalidOperationException("on purpose");
    }

    /// <summary>The trace of each line, as the log's scopes tell it.</summary>
    private sealed class LoggedTraces : ILoggerProvider, ILogger, ISupportExternalScope
    {
        private IExternalScopeProvider? _scopes;

        public List<string?> Traces { get; } = [];

        public ILogger CreateLogger(string categoryName) => this;

        public void SetScopeProvider(IExternalScopeProvider scopeProvider) => _scopes = scopeProvider;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
            => _scopes?.ForEachScope((scope, traces) => traces.AddRange(((scope as IEnumerable<KeyValuePair<string, object?>>) ?? []).Where(pair => pair.Key == "TraceId").Select(pair => pair.Value?.ToString())), Traces);

        public void Dispose()
        {
        }
    }

    [Fact]
    public void A_refusal_explains_itself_and_its_offers_can_be_taken()
    {
        var offer = new Offer("offer.until", [("until", Instant.FromUtc(2026, 7, 1, 8, 0))], new Dictionary<string, object?>());
        var refusal = Refusal.Conflict("quota.full") with
        {
            Errors = [new FieldError("quota", "quota.full", [("scope", "team"), ("dimension", "cpu"), ("asked", new Amount(Dimension.Cpu, 4)), ("free", new Amount(Dimension.Cpu, 2)), ("limit", new Amount(Dimension.Cpu, 10))])],
            Quota = new QuotaRefusal("team", "cpu", 10, 8, 4, [new QuotaHolder("other-lab", Guid.Empty, "Grace", 8, null)], [offer]),
        };
        Offer? taken = null;

        var note = Render<RefusalNote>(parameters => parameters.Add(part => part.Refusal, refusal).Add(part => part.Taken, chosen => taken = chosen));
        note.Find("button").Click();

        Assert.Contains("other-lab", note.Markup, StringComparison.Ordinal);
        Assert.Contains("The team’s quota of vCPU is full. Asked for: 4; left: 2 of 10.", note.Markup, StringComparison.Ordinal);
        Assert.Equal("Until 1 Jul, 08:00 it fits", note.Find("button").TextContent.Trim());
        Assert.Same(offer, taken);
    }

    [Fact]
    public void What_comes_from_outside_is_never_markup()
    {
        var chip = Render<Note>(parameters => parameters.AddChildContent(builder => builder.AddContent(0, "<script>alert(1)</script>")));

        Assert.Empty(chip.FindAll("script"));
    }

    [Fact]
    public void A_load_bar_says_that_it_is_more_than_full()
    {
        var bar = Render<LoadBar>(parameters => parameters.Add(part => part.Label, "vCPU").Add(part => part.Words, "12 of 10").Add(part => part.Held, 8).Add(part => part.After, 12).Add(part => part.Limit, 10));

        Assert.Contains("full", bar.Find(".load").ClassList);
        Assert.Equal("vCPU: 12 of 10", bar.Find(".load").GetAttribute("aria-label"));
    }

    private static RunView Run(IReadOnlyList<StepView> steps) => new()
    {
        Id = new RunId(Guid.Empty),
        Lab = new LabId(Guid.Empty),
        LabName = "pair",
        Team = "qa",
        Workflow = WorkflowNames.Provision,
        State = RunState.Running,
        Step = "create",
        StepsDone = 2,
        StepsTotal = 5,
        Since = Instant.FromUtc(2026, 7, 1, 8, 0),
        AskedBy = "Ada",
        Problem = null,
        CreatedAt = Instant.FromUtc(2026, 7, 1, 7, 59),
        FinishedAt = null,
        DueAt = null,
        WaitsFor = null,
        TraceId = null,
        Steps = steps,
    };
}
