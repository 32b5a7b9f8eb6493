using Bunit;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.Labs;
using LabPortal.Operations.Pools;
using LabPortal.Web.Features.Blueprints;
using LabPortal.Web.Features.Labs;
using LabPortal.Web.Features.Leases;
using LabPortal.Web.Features.Pools;
using LabPortal.Web.Features.Shell;
using LabPortal.Web.Texts;
using Microsoft.AspNetCore.Components;
using Microsoft.Extensions.DependencyInjection;
using MudBlazor.Services;
using NodaTime;

namespace LabPortal.Web.Tests.Features;

/// <summary>Parts of pages that call nothing: what they are given and what they say.</summary>
public sealed class FieldsTests : BunitContext
{
    private const string Hostile = "<b>$(x)</b>";
    private static readonly Instant s_noon = Instant.FromUtc(2026, 7, 1, 12, 0);

    public FieldsTests()
    {
        JSInterop.Mode = JSRuntimeMode.Loose;
        Services.AddMudServices();
        Services.AddSingleton<TimeProvider>(new Microsoft.Extensions.Time.Testing.FakeTimeProvider(s_noon.ToDateTimeOffset()));
        Services.AddScoped<Browser>();
    }

    [Fact]
    public void A_quote_says_price_wait_and_place_and_where_it_does_not_know_it_says_so()
    {
        var known = new PoolQuote("pretend", true, Hostile, s_noon + Duration.FromMinutes(5), new Money(500_000, "EUR"), new Money(2_000_000, "EUR"));
        var quote = new QuoteView([new("other", false, "is full", null, null, null), known], [new("labs", "team", 10, 8, 11), new("cpu", "person", 4, 1, 2)], null);
        var panel = Panel(quote);
        Assert.Equal([Say.PricePerHour.With(("price", Shown.Price(new Money(500_000, "EUR")))), Shown.Price(new Money(2_000_000, "EUR")), Say.ReadyIn.With(("time", Shown.Span(Duration.FromMinutes(5)))), "pretend" + Hostile], panel.Texts("dd"));
        Assert.Equal(["other is full"], panel.Texts("details .stack > div"));
        Assert.Contains(Say.QuotaPerson.With(("dimension", Shown.Dimension("cpu"))), Assert.Single(panel.FindAll(".load:not(.full)")).GetAttribute("aria-label"), StringComparison.Ordinal);
        Assert.StartsWith(Shown.Dimension("labs") + ":", Assert.Single(panel.FindAll(".load.full")).GetAttribute("aria-label"), StringComparison.Ordinal);

        var unknown = Panel(new QuoteView([known with { ReadyBy = null, PricePerHour = null, PriceTotal = null }], [], null));
        Assert.Equal([Say.PriceUnknown, Say.ReadyUnknown], unknown.Texts("dd")[..2]);
        Assert.Empty(unknown.FindAll("details, h3"));
        // What should be there by now is about to be; what takes long has a time of the day.
        Assert.Equal(Say.ReadyIn.With(("time", Shown.Span(Duration.Zero))), Ready(s_noon - Duration.FromHours(1)));
        Assert.Equal(Shown.Short(s_noon + Duration.FromHours(3), DateTimeZone.Utc), Ready(s_noon + Duration.FromHours(3)));

        string Ready(Instant by) => Panel(new QuoteView([known with { ReadyBy = by }], [], null)).Texts("dd")[2];
    }

    [Fact]
    public void What_is_not_filled_in_yet_is_no_mistake_and_a_refusal_without_a_field_is_told_in_full()
    {
        var none = new QuoteView([], [], null);
        Assert.Single(Panel(null).FindAll(".wait"));
        Assert.Equal(("true", "false"), (Busy(true), Busy(false)));
        var (open, wrong) = (new FieldError("parameters.license", "parameter.required"), new FieldError("name", "name.form"));
        Assert.Equal((Say.QuoteIncomplete, 0), Told(Refusal.Invalid([open])));
        Assert.Equal((Say.QuoteInvalid, 1), Told(Refusal.Invalid([open, wrong])));
        Assert.Equal((Sentences.Of(Refusal.Conflict("lab.busy")), 1), Told(Refusal.Conflict("lab.busy")));
        Assert.Empty(Panel(none).FindAll(".note, dl, .wait"));

        (string, int) Told(Refusal refusal)
        {
            var panel = Panel(none, refusal);
            return (panel.Find(".note").TextContent.Trim(), panel.FindAll("[role=alert]").Count);
        }

        string? Busy(bool busy) => Render<QuotePanel>(parameters => parameters.Add(part => part.Quote, none).Add(part => part.Busy, busy)).Find("section").GetAttribute("aria-busy");
    }

    [Theory, InlineData(ParameterType.String), InlineData(ParameterType.Integer), InlineData(ParameterType.Boolean), InlineData(ParameterType.Choice)]
    public void A_parameter_is_described_by_its_help_until_it_is_wrong_and_by_its_mistake_then(ParameterType type)
    {
        var parameter = new Parameter { Name = "motd", Type = type, Title = Hostile, Help = "Shown to all.", Default = "a", Choices = ["a", "b"] };
        Assert.Null(Field(parameter).Wrong("#parameter-motd"));
        Assert.Equal("Shown to all.", Field(parameter).Described("#parameter-motd"));
        Assert.Contains("Too long.", Field(parameter, wrong: "Too long.").Wrong("#parameter-motd"), StringComparison.Ordinal);
        Assert.Empty(Field(parameter).FindAll("b"));
        Assert.Equal(Hostile, Field(parameter).Find("label").TextContent);
    }

    [Fact]
    public void A_value_of_a_parameter_travels_as_text_and_a_choice_that_is_none_has_to_be_made()
    {
        var said = new List<string>();
        var flag = new Parameter { Name = "on", Type = ParameterType.Boolean };
        foreach (var on in new[] { true, false }) Field(flag, said: said.Add).Find("input").Change(on);
        Field(new Parameter { Name = "n", Type = ParameterType.Integer }, said: said.Add).Find("input").Input("07");
        Assert.Equal(["true", "false", "07"], said);

        var choice = new Parameter { Name = "c", Type = ParameterType.Choice, Choices = ["a", "b"] };
        Assert.Equal([Say.ChooseOne, "a", "b"], Field(choice, "gone").Texts("option"));
        Assert.Equal(["a", "b"], Field(choice, "b").Texts("option"));
        Assert.Equal("b", Field(choice, "b").Find("option[selected]").TextContent);
        // Who has to fill it in is told, and the limits where nobody wrote a help.
        var number = Field(new Parameter { Name = "n", Type = ParameterType.Integer, Min = 1, Max = 9 });
        Assert.Equal(Say.LabelRequired.With(("label", "n")), number.Find("label").TextContent);
        Assert.Equal(Say.ParameterRange.With(("min", 1), ("max", 9)), number.Described("#parameter-n"));
    }

    [Fact]
    public void A_lease_is_chosen_by_hours_or_by_its_end_and_no_number_of_hours_breaks_the_change()
    {
        var (hours, until) = (new List<decimal?>(), new List<string?>());
        var choice = Choice(2.5m);
        Assert.Equal("2.5", choice.Find("#lease-hours").GetAttribute("value"));
        choice.Find("#lease-hours").Input("1.5");
        choice.Find("#lease-hours").Input("soon");
        Assert.Equal([1.5m, null], hours);
        foreach (var typed in new decimal?[] { 2.5m, null, 99_999_999_999m, -99_999_999_999m }) Choice(typed).FindAll("button")[1].Click();
        Assert.Equal(["2026-07-01T14:30", "2026-07-01T16:00", "2027-07-01T12:00", "2026-07-01T12:00"], until);

        var end = Choice(2.5m, "2026-07-01T14:30", wrong: "Too late.");
        Assert.Empty(end.FindAll("#lease-hours"));
        Assert.Equal("Too late.", end.Wrong("#lease-until"));
        Assert.Equal("Too late.", end.Find("[role=alert]").TextContent);
        Assert.Equal(["false", "true"], end.FindAll("button").Select(button => button.GetAttribute("aria-pressed")));
        end.FindAll("button")[0].Click();
        Assert.Null(until[^1]);
        Assert.Equal("At most a day.", choice.Described("#lease-hours"));
        Assert.Null(choice.Wrong("#lease-hours"));

        IRenderedComponent<LeaseChoice> Choice(decimal? by, string? to = null, string? wrong = null) => Render<LeaseChoice>(parameters => parameters
            .Add(part => part.Id, "lease").Add(part => part.Hours, by).Add(part => part.HoursChanged, hours.Add).Add(part => part.Until, to).Add(part => part.UntilChanged, until.Add)
            .Add(part => part.Help, "At most a day.").Add(part => part.Wrong, wrong));
    }

    [Fact]
    public void Each_mistake_of_a_request_stands_at_its_field_and_none_is_lost()
    {
        var blueprint = new Blueprint
        {
            Name = "pair", Title = "Pair", Machines = [], Parameters = [new Parameter { Name = "motd", Type = ParameterType.String, Default = "hello" }],
            Lease = new LeaseRules(Duration.FromHours(4), Duration.FromHours(72), Duration.Zero),
        };
        var (form, changed) = (new RequestForm(blueprint, "qa"), 0);
        var plain = Fields(["qa"]);
        Assert.Empty(plain.FindAll("#team, .note, [aria-invalid]"));
        Assert.False(plain.Find("details").HasAttribute("open"));

        string[] fields = ["team", "name", "parameters.motd", "lease.hours", "start", "pool", "parameters.gone", "labels"];
        var wrong = Fields(["qa", "dev"], [.. fields.Select(field => new FieldError(field, "name.form"))]);
        foreach (var control in new[] { "#team", "#name", "#parameter-motd", "#lease-hours", "#start", "#pool" })
            Assert.Contains(Sentences.Of(new FieldError("", "name.form")), wrong.Wrong(control), StringComparison.Ordinal);
        Assert.True(wrong.Find("details").HasAttribute("open"));
        Assert.Equal(["parameters.gone", "labels"], wrong.Texts(".note strong"));

        wrong.Find("#team").Change("dev");
        wrong.Find("#name").Input("mine");
        wrong.Find("#parameter-motd").Input("hi");
        wrong.Find("#pool").Change("pretend");
        wrong.Find("#start").Change("2026-07-01T10:00");
        wrong.Find("#start").Change("");
        Assert.Equal(("dev", "mine", "hi", "pretend", null, 6), (form.Team, form.Name, form.Parameters["motd"], form.Pool, form.Start, changed));

        IRenderedComponent<RequestFields> Fields(string[] teams, params FieldError[] errors) => Render<RequestFields>(parameters => parameters
            .Add(part => part.Form, form).Add(part => part.Blueprint, blueprint).Add(part => part.Teams, teams).Add(part => part.Pools, ["pretend"]).Add(part => part.Errors, errors).Add(part => part.Changed, () => changed++));
    }

    [Theory, InlineData(FieldKind.Text), InlineData(FieldKind.Lines), InlineData(FieldKind.Plain), InlineData(FieldKind.Flag), InlineData(FieldKind.Choice), InlineData(FieldKind.List)]
    public void A_field_of_a_document_is_described_by_its_mistake_and_what_does_not_fit_is_left_alone(FieldKind kind)
    {
        var field = new FormField("at", kind, Hostile, "Some help.");
        Assert.Equal("Some help.", Of(field, "at: ").Described("#field-at"));
        Assert.Contains("No such.", Of(field, "at: ", "No such.").Wrong("#field-at"), StringComparison.Ordinal);
        Assert.Null(Of(field, "at: ").Wrong("#field-at"));
        Assert.Empty(Of(field, "at: ").FindAll("b"));
        var other = Of(field, "at: { deep: 1 }");
        Assert.Empty(other.FindAll("input, select, textarea"));
        Assert.Contains(Say.OnlyInYaml, other.Markup, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_typed_is_written_as_its_kind_means_it_and_what_is_there_can_be_kept()
    {
        var written = new List<string>();
        Typed(FieldKind.Text, "input", " 012 ");
        Typed(FieldKind.Plain, "input", " 2 ");
        Typed(FieldKind.Flag, "input", true);
        Typed(FieldKind.List, "textarea", " a \r\n\r\nb: c");
        Assert.Equal(["012", "2", "true"], written[..3].Select(text => CatalogueDocument.Read(text).Value.Text("at")));
        Assert.Contains("at: 2\n", written[1] + "\n", StringComparison.Ordinal);
        Assert.DoesNotContain("at: 012\n", written[0] + "\n", StringComparison.Ordinal);
        Assert.Equal(["a", "b: c"], CatalogueDocument.Read(written[3]).Value.Texts("at"));
        Typed(FieldKind.Flag, "input", false);
        Assert.False(CatalogueDocument.Read(written[4]).Value.Has("at"));

        var choice = new FormField("at", FieldKind.Choice, "Image", Among: "images");
        Assert.Equal(["–", "tiny", "gone"], Of(choice, "at: gone").Texts("option"));
        Assert.Equal(["–", "tiny"], Of(choice, "at: tiny").Texts("option"));

        void Typed(FieldKind kind, string control, object what) => Of(new FormField("at", kind, "At"), "name: x\nat: ", changed: document => written.Add(document.Write())).Find(control).Change(what);
    }

    [Fact]
    public void The_last_entry_of_a_list_takes_the_list_with_it_but_for_one_that_means_something_when_it_is_empty()
    {
        FormField[] fields = [new("name", FieldKind.Text, "Name")];
        var (list, empty, usual) = (
            new FormList("machines", "Machines", Say.MachineNth, "Add a machine", fields),
            new FormList("machines", "Rules", Say.RuleNth, "Add a rule", fields) { Switch = "Only what is listed" },
            new FormList("machines", "Cards", Say.CardNth, "Add a card", fields) { Help = "One on the shared network.", Usual = ("name", "shared") });
        CatalogueDocument? document = null;
        const string One = "machines: [{ name: web }]";

        Removes(list, One).Click();
        Assert.False(document!.Has("machines"));
        Removes(empty, One).Click();
        Assert.True(document.Has("machines"));
        Assert.Equal(0, document.Count("machines"));
        // Before anything is listed there is nothing to add a rule to; switched off, the list is gone.
        Assert.Empty(List(empty, "name: x").FindAll("button"));
        List(empty, One).Find("#field-machines").Change(false);
        Assert.False(document.Has("machines"));
        // What was there without a word is written with the first one that is added.
        Assert.Contains(usual.Help!, List(usual, "name: x").Markup, StringComparison.Ordinal);
        Assert.DoesNotContain(usual.Help!, List(usual, One).Markup, StringComparison.Ordinal);
        List(usual, "name: x").Find("button").Click();
        Assert.Equal(("shared", 2), (document.Text("machines[0].name"), document.Count("machines")));

        Assert.Contains("web 2", Removes(list, One, "web 2").GetAttribute("aria-label"), StringComparison.Ordinal);
        var wrong = List(list, One, errors: [new FieldError("machines", "name.form"), new FieldError("machines[0].name", "name.form")]);
        Assert.Equal(Sentences.Of(new FieldError("", "name.form")), wrong.Described("fieldset"));
        Assert.NotNull(wrong.Wrong("#field-machines-0--name"));
        Assert.Null(List(list, One).Find("fieldset").GetAttribute("aria-describedby"));

        AngleSharp.Dom.IElement Removes(FormList of, string yaml, string? whole = null) => List(of, yaml, whole).Find(".entry button");
        IRenderedComponent<ListOfDocument> List(FormList of, string yaml, string? whole = null, params FieldError[] errors) => Render<ListOfDocument>(parameters => parameters
            .Add(part => part.Of, of).Add(part => part.Place, "machines").Add(part => part.Whole, whole).Add(part => part.Document, CatalogueDocument.Read(yaml).Value)
            .Add(part => part.Errors, errors).Add(part => part.Changed, changed => document = changed));
    }

    [Fact]
    public void A_search_stands_in_the_address_begins_at_the_first_page_and_keeps_the_other_filters()
    {
        var navigation = Services.GetRequiredService<NavigationManager>();
        navigation.NavigateTo("/people?role=admin&after=b");
        var box = Render<SearchBox>(parameters => parameters.Add(part => part.Q, "\"><b>").Add(part => part.Label, "Search people"));
        Assert.Equal(("\"><b>", "Search people"), (box.Find("input").GetAttribute("value"), box.Find("input").GetAttribute("aria-label")));
        box.Find("input").Change(" a&b ");
        Assert.Equal("http://localhost/people?role=admin&q=a%26b", navigation.Uri);
        box.Find("input").Change("  ");
        Assert.Equal("http://localhost/people?role=admin", navigation.Uri);
    }

    [Fact]
    public void A_pool_now_counts_who_waits_and_tells_only_the_problems_that_stop_it()
    {
        Assert.Contains(1.Count(Say.PoolWaitOne, Say.PoolWaitMany), Now([], Waiting()).Texts(".amounts span"));
        var two = Now([new("boot", new RunId(Guid.Empty), WorkflowNames.Provision, new LabId(Guid.Empty), Hostile, "qa", null, null, s_noon)], Waiting(), Waiting());
        Assert.Contains(2.Count(Say.PoolWaitOne, Say.PoolWaitMany), two.Texts(".amounts span"));
        Assert.Equal(Hostile, two.Find("a.main").TextContent);
        Assert.Equal(["–", "–"], two.Texts("td[data-label]")[..2]);
        Assert.Equal(2, two.FindAll("details tbody tr").Count);
        Assert.Contains("stops", Assert.Single(two.FindAll(".note")).TextContent, StringComparison.Ordinal);
        Assert.Equal("pools/a%2Fb", two.Find("h2 a").GetAttribute("href"));
        Assert.Empty(Now([]).FindAll("table, details"));

        IRenderedComponent<PoolNowCard> Now(SlotView[] slots, params RunView[] waiting) => Render<PoolNowCard>(parameters => parameters
            .Add(part => part.Pool, PartsTests.Pool with { Name = "a/b", Problems = [new PoolProblem("stops", null, ""), new PoolProblem("nags", null, "", Blocks: false)] })
            .Add(part => part.Now, new PoolNowView(slots, waiting)));
        static RunView Waiting() => PartsTests.Trial(RunState.Running);
    }

    private IRenderedComponent<QuotePanel> Panel(QuoteView? quote, Refusal? refusal = null) => Render<QuotePanel>(parameters => parameters.Add(part => part.Quote, quote).Add(part => part.Refusal, refusal));

    private IRenderedComponent<ParameterField> Field(Parameter parameter, string value = "", string? wrong = null, Action<string>? said = null)
        => Render<ParameterField>(parameters => parameters.Add(part => part.Parameter, parameter).Add(part => part.Value, value).Add(part => part.Wrong, wrong).Add(part => part.ValueChanged, said ?? (_ => { })));

    private IRenderedComponent<FieldOfDocument> Of(FormField field, string yaml, string? wrong = null, Action<CatalogueDocument>? changed = null) => Render<FieldOfDocument>(parameters => parameters
        .Add(part => part.Of, field).Add(part => part.Place, field.Place).Add(part => part.Document, CatalogueDocument.Read(yaml).Value).Add(part => part.Wrong, wrong)
        .Add(part => part.Among, new Dictionary<string, IReadOnlyList<string>> { ["images"] = ["tiny"] }).Add(part => part.Changed, changed ?? (_ => { })));
}
