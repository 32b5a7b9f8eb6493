using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Labs;
using LabPortal.Web.Features.Labs;
using LabPortal.Web.Features.Shell;
using NodaTime;
using Xunit;

namespace LabPortal.Web.Tests.Features;

public sealed class HappenedTests
{
    private static readonly Instant s_noon = Instant.FromUtc(2026, 7, 1, 12, 0);

    [Fact]
    public void The_newest_stands_first_and_a_deed_right_under_what_came_of_it()
    {
        var happened = Happened.Of(
            All(State(1, s_noon, "requested"), State(2, s_noon, "provisioning"), State(3, s_noon + Duration.FromMinutes(1), "ready")),
            All(Line("request-lab", s_noon), Line("end-lab", s_noon + Duration.FromMinutes(2))));

        Assert.Equal(
            ["Ada ended the lab.", "The lab is now: Ready", "The lab is now: Being built", "The lab is now: Requested", "Ada requested the lab."],
            happened.Select(line => line.Look.Text));
        Assert.Equal([true, false, false, false, true], happened.Select(line => line.From is not null));
    }

    [Fact]
    public void A_deed_says_by_which_way_and_from_where_and_a_refused_one_why()
    {
        var line = Line("restart-lab", s_noon) with { Channel = "token", TokenName = "nightly", Address = "10.0.0.7", Detail = new Dictionary<string, string> { ["machine"] = "web", ["state"] = "ready" } };

        Assert.Equal(("Ada restarted web.", "by API token “nightly”, from 10.0.0.7"), Told(line));
        var refused = Assert.Single(Happened.Of(All<LabEvent>(), All(line with { Outcome = "lab.busy", Address = null })));
        Assert.Equal(Tone.Warn, refused.Look.Tone);
        Assert.StartsWith("Ada wanted to restart web and was refused. Something else is being done", refused.Look.Text, StringComparison.Ordinal);
        // A sentence that would have holes is not told.
        Assert.Equal("Ada wanted to restart web and was refused.", Told(line with { Outcome = "quota.full" }).Text);
        static (string Text, string? From) Told(AuditLine line) => Happened.Of(All<LabEvent>(), All(line))[0] is var one ? (one.Look.Text, one.From) : default;
    }

    [Fact]
    public void Where_more_is_to_be_read_it_ends_before_it_has_holes()
    {
        LabEvent[] events = [State(8, s_noon + Duration.FromMinutes(2), "ready"), State(9, s_noon + Duration.FromMinutes(5), "stopped")];
        AuditLine[] lines = [Line("request-lab", s_noon), Line("stop-lab", s_noon + Duration.FromMinutes(4))];

        Assert.Equal(["The lab is now: Stopped", "Ada stopped the lab.", "The lab is now: Ready"], Texts(new(events, More: true), All(lines)));
        Assert.Equal(["The lab is now: Stopped", "Ada stopped the lab."], Texts(All(events), new(lines[1..], More: true)));
        Assert.Equal(4, Texts(All(events), All(lines)).Count());

        static IEnumerable<string> Texts(Past<LabEvent> events, Past<AuditLine> lines) => Happened.Of(events, lines).Select(line => line.Look.Text);
    }

    private static Past<T> All<T>(params T[] items) => new(items, More: false);

    private static LabEvent State(long version, Instant at, string state) => new(new LabId(Guid.Empty), version, at, LabEventKind.State, new Dictionary<string, string> { ["state"] = state });

    private static AuditLine Line(string verb, Instant at) => new(Guid.NewGuid(), at, null, "Ada", "session", null, "10.0.0.7", "r", verb, "lab", "1", null, "done", new Dictionary<string, string>());
}
