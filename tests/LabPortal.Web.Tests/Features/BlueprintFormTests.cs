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

    private IRenderedComponent<BlueprintForm> Form(params FieldError[] errors) => Render<BlueprintForm>(parameters => parameters
        .Add(form => form.Document, _document).Add(form => form.Errors, errors).Add(form => form.Changed, document => _document = document));
}
