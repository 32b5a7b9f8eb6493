using System.Text.Json.Nodes;
using LabPortal.Testing;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>Pools of a cloud and of Hyper-V, as an admin makes them in the browser. On a portal of their own: a sick pool shows on many pages.</summary>
public sealed class PoolFormTests(PortalInBrowser portal) : IClassFixture<PortalInBrowser>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_cloud_pool_is_made_with_prices_from_a_file_and_says_at_once_what_is_wrong_with_it()
    {
        var page = await portal.OpenAsync();
        await page.GotoAsync("/pools/new/azure");
        await page.LivesAsync();
        await page.FillAsync("#name", "west");
        foreach (var (id, text) in new[] { ("subscription", "11111111-2222-3333-4444-555555555555"), ("location", "westeurope"), ("subnet", "/subscriptions/1/subnets/labs"), ("tenantId", "tenant"), ("clientId", "client"), ("clientSecret", "of-the-application") })
            await page.FillAsync($"#settings-{id}", text);
        await page.SelectOptionAsync("#settings-credential", "client-secret");
        Assert.False(await page.IsVisibleAsync("#settings-endpoint"));
        await page.ClickAsync("details.more > summary");
        // Nobody is there: nothing leaves this machine.
        foreach (var id in new[] { "endpoint", "authorityHost" }) await page.FillAsync($"#settings-{id}", "https://127.0.0.1:1");
        await page.FillAsync("#currency", "EUR");
        await page.SetInputFilesAsync("input[type=file]", new FilePayload { Name = "prices.csv", MimeType = "text/csv", Buffer = "size,cpu,memoryMiB,runningHour,stoppedHour\nStandard_B1s,1,1024,nought,0\n"u8.ToArray() });
        await page.Locator("#price-sizes").Sees().ToHaveValueAsync("size,cpu,memoryMiB,runningHour,stoppedHour\nStandard_B1s,1,1024,nought,0\n");
        await page.Button("Make the pool").ClickAsync();
        await page.GetByText("Line 2, runningHour: \"nought\" is not what belongs there.").Sees().ToBeVisibleAsync();

        await page.FillAsync("#price-sizes", "size,cpu,memoryMiB,runningHour,stoppedHour\nStandard_B1s,1,1024,0.0104,0.001\n");
        await page.Button("Make the pool").ClickAsync();
        await page.ArrivesAsync("**/pools/west");
        await page.GetByText("Azure did not answer (sign in)").Sees().ToBeVisibleAsync();

        await page.GotoAsync("/pools/west/settings");
        await page.Locator("#settings-endpoint").Sees().ToHaveValueAsync("https://127.0.0.1:1");
        await page.Locator("#price-sizes").Sees().ToHaveValueAsync("size,cpu,memoryMiB,runningHour,stoppedHour\nStandard_B1s,1,1024,0.0104,0.001\n");
        Assert.DoesNotContain("of-the-application", await page.ContentAsync(), StringComparison.Ordinal);
        var size = (await portal.Client.GetAsync("pools/west/settings", Cancellation)).Must(200)["prices"]!["sizes"]![0]!;
        Assert.Equal(("Standard_B1s", 0.0104m), ((string)size["size"]!, (decimal)size["runningHour"]!));
    }

    [Theory]
    [InlineData("azure")]
    [InlineData("aws")]
    [InlineData("hyper-v")]
    public async Task Each_kinds_form_fits_a_phone_and_is_free_of_axe_violations(string kind)
    {
        var page = await portal.OpenAsync("dark", 390, 844);
        await page.GotoAsync($"/pools/new/{kind}");
        await page.LivesAsync();
        await page.ClickAsync("details.more > summary");
        await page.HoldAsync($"the form of {kind}");
    }
}
