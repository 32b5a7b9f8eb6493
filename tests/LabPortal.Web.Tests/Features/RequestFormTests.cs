using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Leases;
using LabPortal.Web.Features.Labs;
using LabPortal.Web.Features.SignIn;
using NodaTime;

namespace LabPortal.Web.Tests.Features;

public sealed class RequestFormTests
{
    private static readonly DateTimeZone s_berlin = DateTimeZoneProviders.Tzdb["Europe/Berlin"];

    [Fact]
    public void It_begins_with_what_the_blueprint_says()
    {
        var request = Form().ToRequest(s_berlin).Value;

        Assert.Equal(("pair", "qa", 4m, "hello"), (request.Blueprint, request.Team, request.Lease!.Hours, request.Parameters["motd"]));
        Assert.Null(request.Name);
        Assert.Null(request.Start);
    }

    [Fact]
    public void What_has_to_be_filled_in_and_is_empty_is_not_sent_and_what_may_be_empty_is()
    {
        var form = new RequestForm(
            new Blueprint
            {
                Name = "pair",
                Title = "A pair",
                Machines = [],
                Lease = new LeaseRules(Duration.FromHours(4), Duration.FromHours(8), Duration.Zero),
                Parameters = [new Parameter { Name = "license", Type = ParameterType.String }, new Parameter { Name = "motd", Type = ParameterType.String, Default = "hello" }],
            },
            "qa");
        form.Parameters["motd"] = "";

        Assert.Equal(["motd"], form.ToRequest(s_berlin).Value.Parameters.Keys);
        form.Parameters["license"] = "x";
        Assert.Equal("x", form.ToRequest(s_berlin).Value.Parameters["license"]);
    }

    [Theory, InlineData("2026-07-01T10:30"), InlineData("2026-07-01T10:30:00")]
    public void A_wall_clock_time_is_read_in_the_browsers_zone(string said)
    {
        var form = Form();
        (form.Start, form.Until) = (said, said);
        var request = form.ToRequest(s_berlin).Value;

        Assert.Equal(Instant.FromUtc(2026, 7, 1, 8, 30), request.Start);
        Assert.Equal(Instant.FromUtc(2026, 7, 1, 8, 30), request.Lease!.Until);
    }

    [Theory, InlineData("12027-07-01T10:30"), InlineData("soon")]
    public void What_is_no_time_is_refused_and_means_neither_now_nor_the_lease_of_the_blueprint(string said)
    {
        var form = Form();
        (form.Start, form.Until) = (said, said);

        Assert.Equal(["start", "lease.until"], form.ToRequest(s_berlin).Refusal!.Errors!.Select(error => error.Field));
    }

    [Fact]
    public void A_lease_until_a_time_that_was_cleared_is_not_the_lease_of_the_blueprint()
    {
        var form = Form();
        form.Until = "";

        Assert.Equal("lease.until", Assert.Single(form.ToRequest(s_berlin).Refusal!.Errors!).Field);
    }

    [Fact]
    public void A_time_that_the_zone_skips_is_moved_on_and_not_lost()
    {
        var form = Form();
        form.Until = "2026-03-29T02:30";

        Assert.Equal(Instant.FromUtc(2026, 3, 29, 1, 30), form.ToRequest(s_berlin).Value.Lease!.Until);
    }

    [Fact]
    public void An_offer_that_is_taken_changes_exactly_what_it_names()
    {
        var form = Form();

        form.Take(new Offer("offer.later", [], new Dictionary<string, object?> { ["start"] = "2026-07-01T08:30:00Z", ["lease"] = new Dictionary<string, object?> { ["until"] = "2026-07-01T12:30:00Z" } }), s_berlin);
        var request = form.ToRequest(s_berlin).Value;

        Assert.Equal(Instant.FromUtc(2026, 7, 1, 8, 30), request.Start);
        Assert.Equal(Instant.FromUtc(2026, 7, 1, 12, 30), request.Lease!.Until);
        Assert.Equal("hello", request.Parameters["motd"]);
    }

    [Theory]
    [InlineData("/labs?state=ready", "/labs?state=ready")]
    [InlineData("//evil.example", "labs")]
    [InlineData("/\\evil.example", "labs")]
    [InlineData("https://evil.example", "labs")]
    [InlineData(null, "labs")]
    public void A_sign_in_leads_only_into_this_portal(string? asked, string to) => Assert.Equal(to, PortalSession.SafeReturn(asked, ""));

    [Theory]
    [InlineData("/portal/labs?state=ready", "/portal/labs?state=ready")]
    [InlineData("/portal", "/portal")]
    [InlineData("/elsewhere", "labs")]
    [InlineData("/portal/../elsewhere", "labs")]
    [InlineData("/portal/%2e%2e/elsewhere", "labs")]
    [InlineData("/portal\\..\\..\\elsewhere", "labs")]
    [InlineData("/portal-of-others", "labs")]
    public void Nor_out_of_the_path_that_it_has_below_a_proxy(string? asked, string to) => Assert.Equal(to, PortalSession.SafeReturn(asked, "/portal"));

    private static RequestForm Form() => new(
        new Blueprint
        {
            Name = "pair",
            Title = "Pair",
            Machines = [],
            Parameters = [new Parameter { Name = "motd", Type = ParameterType.String, Default = "hello" }],
            Lease = new LeaseRules(Duration.FromHours(4), Duration.FromHours(72), Duration.FromHours(24)),
        },
        "qa");
}
