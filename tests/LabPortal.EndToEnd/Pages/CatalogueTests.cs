using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>Sizes, images and blueprints, as admins keep them.</summary>
[Collection(typeof(InOneBrowser))]
public sealed class CatalogueTests(PortalInBrowser portal)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_blueprint_is_made_in_the_form_and_in_yaml_compared_retired_and_brought_back()
    {
        var page = await portal.OpenAsync();
        await page.GotoAsync("/blueprints");
        await page.GetByRole(AriaRole.Link, new() { Name = "New blueprint" }).ClickAsync();
        await page.ArrivesAsync("**/new-blueprint");
        await page.GetByLabel("Name").First.FillAsync("walked");
        await page.GetByLabel("Title").First.FillAsync("Walked through");
        var machine = page.GetByRole(AriaRole.Group, new() { Name = "Machine 1" });
        await machine.GetByLabel("Name").FillAsync("Not_a_host");
        await machine.GetByLabel("Image").SelectOptionAsync("tiny");
        await machine.GetByLabel("vCPU").FillAsync("many");
        await page.Button("Save blueprint").ClickAsync();
        // All at once, each at its field.
        await machine.GetByRole(AriaRole.Alert).Sees().ToHaveCountAsync(4);
        await page.HoldAsync("mistakes in the form");

        await page.Button("YAML").ClickAsync();
        var yaml = page.GetByLabel("The blueprint as YAML");
        await yaml.Sees().ToHaveValueAsync(new System.Text.RegularExpressions.Regex("title: Walked through\n(.|\n)*name: Not_a_host"));
        await page.Locator(".mistakes").Sees().ToContainTextAsync("machines[0].cpu");
        await yaml.FillAsync((await yaml.InputValueAsync()).Replace("Not_a_host", "web\n    memoryMiB: 128\n    diskGiB: 1\n    userData: { runcmd: [[\"true\"]] }", StringComparison.Ordinal).Replace("many", "2", StringComparison.Ordinal));
        await page.Button("Form").ClickAsync();
        await machine.GetByLabel("vCPU").Sees().ToHaveValueAsync("2");
        await page.GetByText("machines[0].userData").Sees().ToBeVisibleAsync();
        await NetworksAsync(page, yaml);
        await page.Button("Save blueprint").ClickAsync();
        await page.ArrivesAsync("**/blueprints/walked");
        // Teams that other walks made have no quota.
        var quote = page.GetByRole(AriaRole.Region, new() { Name = "What a request would be told now" });
        await quote.GetByRole(AriaRole.Combobox).SelectOptionAsync("qa");
        await quote.Sees().ToContainTextAsync("Quota after this request");

        await page.GetByLabel("Title").First.FillAsync("Walked twice");
        await page.Button("Save blueprint").ClickAsync();
        var compared = page.GetByRole(AriaRole.Region, new() { Name = "From version 1 to version 2" });
        await compared.Locator(".removed").Sees().ToContainTextAsync("title: Walked through");
        await compared.Locator(".added").Sees().ToContainTextAsync("title: Walked twice");
        await page.HoldAsync("two versions");

        var saved = (await portal.Client.GetAsync("blueprints/walked", Cancellation)).Must(200);
        Assert.Equal("10.10.0.11", (string)saved["definition"]["machines"]![0]!["cards"]![1]!["address"]!);
        Assert.Equal((2, "true"), ((int)saved["version"]!, (string)saved["definition"]["machines"]![0]!["userData"]!["runcmd"]![0]![0]!));
        await page.Button("Retire").ClickAsync();
        await page.Asked().Button("Retire").ClickAsync();
        await page.GetByText("It is retired").Sees().ToBeVisibleAsync();
        Assert.True((bool)(await portal.Client.GetAsync("blueprints/walked", Cancellation)).Must(200)["retired"]!);
        await page.Button("Bring back").ClickAsync();
        await page.GetByText("It is retired").Sees().ToHaveCountAsync(0);
        await page.Button("Delete walked").ClickAsync();
        await page.Asked().Button("Delete").ClickAsync();
        await page.ArrivesAsync("**/blueprints");
        (await portal.Client.GetAsync("blueprints/walked", Cancellation)).Must(404);
    }

    /// <summary>A network, a second card and a rule, by keyboard where there are buttons, on a narrow page; form and YAML say the same.</summary>
    private static async Task NetworksAsync(IPage page, ILocator yaml)
    {
        await page.SetViewportSizeAsync(390, 844);
        foreach (var add in new[] { "Add a network", "Add a card: Machine 1" }) await page.Button(add).PressAsync("Enter");
        var (network, card) = (page.GetByRole(AriaRole.Group, new() { Name = "Network 1" }), page.GetByRole(AriaRole.Group, new() { Name = "Card 2" }));
        await network.GetByLabel("Name").FillAsync("inner");
        await network.GetByLabel("Addresses").FillAsync("8.8.8.0/24");
        await card.GetByLabel("Network of the card").SelectOptionAsync("inner");
        await page.GetByLabel("Hold back what no rule lets pass").PressAsync("Space");
        await page.Button("Add a rule").PressAsync("Enter");
        var rule = page.GetByRole(AriaRole.Group, new() { Name = "Rule 1" });
        await rule.GetByLabel("From", new() { Exact = true }).SelectOptionAsync("web");
        await rule.GetByLabel("To", new() { Exact = true }).SelectOptionAsync("outside");
        await rule.GetByLabel("Ports").FillAsync("443");
        await page.Keyboard.PressAsync("Tab");
        foreach (var wrong in new[] { network, card, rule }) await wrong.GetByRole(AriaRole.Alert).Sees().ToHaveCountAsync(1);
        await page.HoldAsync("networks in the form");
        await network.GetByLabel("Addresses").FillAsync("10.10.0.0/24");
        await card.GetByLabel("Address there").FillAsync("10.10.0.11");
        await page.Keyboard.PressAsync("Tab");
        await rule.GetByLabel("Protocol").SelectOptionAsync("tcp");
        foreach (var mended in new[] { network, card, rule }) await mended.GetByRole(AriaRole.Alert).Sees().ToHaveCountAsync(0);

        await page.Button("YAML").ClickAsync();
        await yaml.Sees().ToHaveValueAsync(new System.Text.RegularExpressions.Regex("- network: inner\\s+address: 10.10.0.11(.|\n)*- name: inner\\s+subnet: 10.10.0.0/24(.|\n)*- from: web\\s+to: outside"));
        await yaml.FillAsync((await yaml.InputValueAsync()).Replace("to: outside", "to: nowhere", StringComparison.Ordinal));
        await page.Button("Form").ClickAsync();
        await rule.GetByRole(AriaRole.Alert).Sees().ToContainTextAsync("nowhere");
        await rule.GetByLabel("To", new() { Exact = true }).SelectOptionAsync("outside");
        await rule.GetByRole(AriaRole.Alert).Sees().ToHaveCountAsync(0);
        await page.SetViewportSizeAsync(1440, 900);
    }

    [Fact]
    public async Task Sizes_and_images_are_kept_on_their_pages_and_what_is_in_use_says_by_whom()
    {
        var page = await portal.OpenAsync();
        await page.GotoAsync("/sizes");
        await page.Button("New size").ClickAsync();
        await page.Asked().GetByLabel("Name").FillAsync("walking");
        await page.Asked().GetByLabel("vCPU").FillAsync("0");
        await page.Asked().Button("Save").ClickAsync();
        await page.Asked().GetByRole(AriaRole.Alert).Sees().ToHaveCountAsync(3);
        await page.HoldAsync("size");
        foreach (var (label, amount) in new[] { ("vCPU", "1"), ("Memory (MiB)", "128"), ("Disk (GiB)", "1") }) await page.Asked().GetByLabel(label).FillAsync(amount);
        await page.Asked().Button("Save").ClickAsync();
        var row = page.Locator("tbody tr", new() { HasTextString = "walking" });
        await row.Sees().ToContainTextAsync("128 MiB");

        (await portal.Client.SendAsync(HttpMethod.Put, "blueprints/walker", Json("""{"title":"Walker","machines":[{"name":"a","image":"tiny","size":"walking"}],"lease":{"default":"1h","max":"2h"}}"""), Cancellation)).Must(200);
        await page.ReloadAsync();
        await row.GetByRole(AriaRole.Link, new() { Name = "walker" }).Sees().ToBeVisibleAsync();
        await page.Button("Delete walking").ClickAsync();
        await page.Asked().Button("Delete").ClickAsync();
        await page.GetByText("Blueprints still name it: walker.").Sees().ToBeVisibleAsync();
        (await portal.Client.DeleteAsync("blueprints/walker", Cancellation)).Must(204);
        (await portal.Client.DeleteAsync("sizes/walking", Cancellation)).Must(204);

        await page.GotoAsync("/images");
        await page.Button("New image").ClickAsync();
        await page.Asked().GetByLabel("Name").FillAsync("walked");
        await page.Asked().GetByLabel("Can be used on simulated pools").CheckAsync();
        await page.HoldAsync("image");
        await page.Asked().Button("Save").ClickAsync();
        await page.Locator("a[href='images/walked']").ClickAsync();
        await page.ArrivesAsync("**/images/walked");
        await page.Button("Change walked").ClickAsync();
        await page.Asked().GetByLabel("Version").FillAsync("2");
        await page.Asked().Button("Save").ClickAsync();
        await page.GetByRole(AriaRole.Region, new() { Name = "Versions" }).Locator("tbody tr").Sees().ToHaveCountAsync(2);
        Assert.Equal("2", (string)(await portal.Client.GetAsync("images/walked", Cancellation)).Must(200)["version"]!);
        await page.Button("Delete walked").ClickAsync();
        await page.Asked().Button("Delete").ClickAsync();
        await page.ArrivesAsync("**/images");
    }

    [Fact]
    public async Task What_is_declared_is_shown_and_not_changed_until_it_is_detached()
    {
        (await portal.Client.ApplyAsync("kind: Blueprint\nname: filed\ntitle: Filed\nmachines: [{ name: a, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }]\nlease: { default: 1h, max: 2h }\n", cancellation: Cancellation)).Must(200);
        (await portal.Client.SendAsync(HttpMethod.Put, "blueprints/filed", Json("""{"title":"Other"}"""), Cancellation)).Must(409);
        var page = await portal.OpenAsync();
        await page.GotoAsync("/blueprints/filed");
        await page.GetByLabel("Title").First.Sees().ToBeDisabledAsync();
        await page.Button("Save blueprint").Sees().ToHaveCountAsync(0);
        await page.Button("Detach filed").ClickAsync();
        await page.Asked().Button("Detach").ClickAsync();
        await page.GetByText("filed is the portal’s own now.").Sees().ToBeVisibleAsync();
        await page.HoldAsync("detached");
        await page.GetByLabel("Title").First.Sees().ToBeEnabledAsync();
        (await portal.Client.PostAsync("blueprints/filed/detach", cancellation: Cancellation)).Must(404);
        var wrong = (await portal.Client.SendAsync(HttpMethod.Put, "blueprints/filed", Json("""{"title":"Other","machines":[{"name":"a","image":"gone"}],"lease":{"default":"4h","max":"2h"}}"""), Cancellation)).Must(400);
        Assert.Equal(["lease.default", "machines[0].cpu", "machines[0].diskGiB", "machines[0].image", "machines[0].memoryMiB"], wrong.Errors.Keys.Order(StringComparer.Ordinal));
        (await portal.Client.DeleteAsync("blueprints/filed", Cancellation)).Must(204);
    }

    private static JsonContent Json(string text) => JsonContent.Create(JsonNode.Parse(text));
}
