using System.Text.Json.Nodes;
using Bunit;
using LabPortal.Domain;
using LabPortal.Operations.Catalogue;
using LabPortal.Web.Features.Blueprints;
using MudBlazor.Services;

namespace LabPortal.Web.Tests.Features;

/// <summary>The form of a blueprint is a view of its document.</summary>
public sealed class BlueprintFormTests : BunitContext
{
    private const string Yaml = """
        kind: Blueprint
        name: pair
        title: Pair
        somethingNew: { deep: [1] }
        machines:
          - { name: web, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1, userData: { a: 1 } }
          - { name: db, image: tiny, size: small }
        lease: { default: 4h, max: 3d }
        """;

    private CatalogueDocument _document = CatalogueDocument.Read(Yaml).Value;

    public BlueprintFormTests()
    {
        JSInterop.Mode = JSRuntimeMode.Loose;
        Services.AddMudServices();
    }

    [Fact]
    public void What_is_typed_into_a_field_stands_in_the_document_and_the_rest_stays()
    {
        var form = Form();
        form.Find("#field-machines-1--name").Change("store");
        form = Form();
        form.Find("#field-lease-grace").Change("2h");
        form = Form();
        form.Find("#field-snapshotAtReady").Change(true);
        form = Form();
        form.Find("#field-placement-prefer").Change("fast\r\n\r\n near ");

        var written = CatalogueDocument.Read(_document.Write()).Value;
        Assert.Equal(("store", "2h", "true", "web"), (written.Text("machines[1].name"), written.Text("lease.grace"), written.Text("snapshotAtReady"), written.Text("machines[0].name")));
        Assert.Equal(["fast", "near"], written.Texts("placement.prefer"));
        Assert.Equal("""{"deep":[1]}""", written.ToJson().GetProperty("somethingNew").GetRawText());
        Assert.Equal("true", written.ToJson().GetProperty("snapshotAtReady").GetRawText());
    }

    [Fact]
    public void What_has_no_field_is_named_and_entries_come_and_go()
    {
        var form = Form();
        Assert.Contains("somethingNew.deep, machines[0].userData.a", form.Find(".note").TextContent, StringComparison.Ordinal);
        Assert.Equal("web", form.Find("#field-machines-0--name").GetAttribute("value"));

        form.Find("[aria-label='Remove Machine 1']").Click();
        Assert.Equal((1, "db"), (_document.Count("machines"), _document.Text("machines[0].name")));
        form = Form();
        form.FindAll("button").Single(button => button.TextContent.Trim() == "Add a parameter").Click();
        Assert.Equal(1, _document.Count("parameters"));
    }

    [Fact]
    public void A_mistake_stands_at_its_field()
    {
        var form = Form(new FieldError("machines[1].image", "reference.unknown", [("kind", "Image"), ("name", "gone")]), new FieldError("placement.prefer[0]", "yaml.not-text"));

        Assert.Equal("true", form.Find("#field-machines-1--image").GetAttribute("aria-invalid"));
        Assert.Equal("true", form.Find("#field-placement-prefer").GetAttribute("aria-invalid"));
        Assert.Equal(2, form.FindAll("[aria-invalid=true]").Count);
    }

    [Fact]
    public void Networks_cards_and_rules_are_made_in_the_form_as_they_stand_in_the_text()
    {
        // Who adds a card adds it to the one that was there without a word.
        Click("Add a card: Machine 1");
        Click("Add a network");
        Set("networks-0--name", "inner");
        Set("networks-0--subnet", "10.10.0.0/24");
        Set("machines-0--cards-1--network", "inner");
        Set("machines-0--cards-1--address", "10.10.0.11");
        Click("Add a card: Machine 2");
        Click("Remove Card 1 of Machine 2");
        Set("machines-1--cards-0--network", "inner");
        Set("machines-1--cards-0--address", "10.10.0.12");
        Form().Find("#field-firewall").Change(true);
        Assert.Equal("[]", Json("firewall"));
        Click("Add a rule");
        Set("firewall-0--from", "web");
        Set("firewall-0--to", "db");
        Set("firewall-0--protocol", "tcp");
        Set("firewall-0--ports", "22\n8000-8100");
        Click("Add a rule");
        Set("firewall-1--from", "web");
        Set("firewall-1--to", "outside");

        Assert.Equal("""[{"name":"inner","subnet":"10.10.0.0/24"}]""", Json("networks"));
        Assert.Equal("""[{"network":"shared"},{"network":"inner","address":"10.10.0.11"}]""", Json("machines", 0, "cards"));
        Assert.Equal("""[{"network":"inner","address":"10.10.0.12"}]""", Json("machines", 1, "cards"));
        Assert.Equal("""[{"from":"web","to":"db","protocol":"tcp","ports":["22","8000-8100"]},{"from":"web","to":"outside"}]""", Json("firewall"));

        // The other way round: what the text says is what the form shows, and nothing is left that it has no field for but what it had none for before.
        _document = CatalogueDocument.Read(_document.Write()).Value;
        var form = Form();
        Assert.Equal(
            ["shared", "inner", "", "inner", "10.10.0.12", "web", "db", "tcp"],
            new[] { "machines-0--cards-0--network", "machines-0--cards-1--network", "machines-0--cards-0--address", "machines-1--cards-0--network", "machines-1--cards-0--address", "firewall-0--from", "firewall-0--to", "firewall-0--protocol" }
                .Select(id => form.Find("#field-" + id).GetAttribute("value") ?? ""));
        Assert.Contains("somethingNew.deep, machines[0].userData.a. ", form.Find(".note").TextContent + " ", StringComparison.Ordinal);
        Assert.Equal(["", "shared", "inner"], form.FindAll("#field-machines-1--cards-0--network option").Select(option => option.GetAttribute("value")));
        Assert.Equal(["", "web", "db", "outside"], form.FindAll("#field-firewall-0--from option").Select(option => option.GetAttribute("value")));

        // And back again, to where nothing is said.
        Click("Remove Card 1 of Machine 2");
        Click("Remove Network 1");
        Click("Remove Rule 1");
        Click("Remove Rule 1");
        Assert.Equal((null, null, "[]"), (Json("machines", 1, "cards"), Json("networks"), Json("firewall")));
        Form().Find("#field-firewall").Change(false);
        Assert.Null(Json("firewall"));
    }

    [Fact]
    public void A_mistake_of_networks_stands_at_its_field_or_at_its_list_and_nowhere_else()
    {
        _document = CatalogueDocument.Read("""
            kind: Blueprint
            name: walled
            title: Walled
            networks: [{ name: inner, subnet: 10.1.0.1/24 }]
            machines: [{ name: outside, image: tiny, cards: [{ network: inner }, { network: gone }] }, { name: two, image: tiny, cards: [] }]
            firewall: [{ from: two, to: three, ports: [x] }]
            lease: { default: 1h, max: 3d }
            """).Value;
        FieldError[] errors =
        [
            .. new[] { "networks[0].subnet", "machines[0].cards[0].address", "machines[0].cards[1].network", "firewall[0].to", "firewall[0].ports[0]", "firewall", "machines[1].cards" }
                .Select(place => new FieldError(place, "yaml.not-text")),
        ];
        var form = Form(errors);
        Assert.Equal(
            ["field-firewall-0--ports", "field-firewall-0--to", "field-machines-0--cards-0--address", "field-machines-0--cards-1--network", "field-networks-0--subnet"],
            form.FindAll("[aria-invalid=true]").Select(field => field.Id).Order(StringComparer.Ordinal));
        Assert.Equal(["field-firewall-wrong", "field-machines-1--cards-wrong"], form.FindAll("fieldset[aria-describedby]").Select(list => list.GetAttribute("aria-describedby")).Order(StringComparer.Ordinal));
        Assert.All(errors, error => Assert.True(Mistakes.HasPlace(_document, error), error.Field));
        Assert.All(["machines[0]", "machines[0].cards[0]", "networks[0].gateway", "somethingNew"], place => Assert.False(Mistakes.HasPlace(_document, new FieldError(place, "yaml.not-text")), place));
    }

    private void Click(string name) => Form().FindAll("button").Single(button => (button.GetAttribute("aria-label") ?? button.TextContent.Trim()) == name).Click();

    private void Set(string field, string text) => Form().Find("#field-" + field).Change(text);

    private string? Json(params object[] path)
    {
        var found = (JsonNode?)JsonNode.Parse(_document.ToJson().GetRawText());
        foreach (var part in path) found = part is int i ? found?[i] : found?[(string)part];
        return found?.ToJsonString();
    }

    private IRenderedComponent<BlueprintForm> Form(params FieldError[] errors) => Render<BlueprintForm>(parameters => parameters
        .Add(form => form.Document, _document).Add(form => form.Errors, errors).Add(form => form.Changed, document => _document = document));
}
