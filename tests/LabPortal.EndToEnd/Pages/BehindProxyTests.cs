using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using LabPortal.Testing;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>The portal below a path of its own, behind the nginx that <c>infra/proxy</c> documents.</summary>
[Collection(typeof(InOneBrowser))]
public sealed class BehindProxyTests(PortalInBrowser portal)
{
    private static readonly string s_lab = Path.Combine(Repository.Root, "src", "LabPortal.Cli", "bin", Repository.Configuration, "net10.0", "lab.dll");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Pages_consoles_jobs_the_api_and_lab_stay_below_the_path_that_the_proxy_has_for_the_portal()
    {
        await using var nginx = await Nginx.StartAsync(portal.Portal.Address, Cancellation);
        var page = await portal.OpenAsync(signedIn: false);
        List<string> strays = [];
        page.Request += (_, asked) => { if (asked.Url.StartsWith("http", StringComparison.Ordinal) && !asked.Url.StartsWith(nginx.Address.ToString(), StringComparison.Ordinal)) strays.Add(asked.Url); };

        await page.GotoAsync(new Uri(nginx.Address, "catalogue/solo?team=qa").ToString());
        await page.ArrivesAsync("**/labs/sign-in?ReturnUrl=**");
        await page.FillAsync("#Email", FirstAdmin.Email);
        await page.FillAsync("#Password", FirstAdmin.Password);
        await page.ClickAsync("button[type=submit]");
        await page.ArrivesAsync("**/labs/catalogue/solo?team=qa");
        Assert.Contains(await page.Context.CookiesAsync([nginx.Address.ToString()]), cookie => cookie is { Name: "labportal", Path: "/labs" });

        await page.GetByText("Quota after this request").Sees().ToBeVisibleAsync();
        await page.Button("Request this lab").ClickAsync();
        await page.ArrivesAsync("**/labs/labs/*");
        await page.StateAsync("Ready");
        var lab = page.Url;
        await page.GetByRole(AriaRole.Link, new() { Name = "Console", Exact = true }).ClickAsync();
        await page.ArrivesAsync("**/labs/labs/**/console");
        await page.GetByText("You type.").Sees().ToBeVisibleAsync();

        await page.GetByRole(AriaRole.Link, new() { Name = "Operations", Exact = true }).ClickAsync();
        await page.ArrivesAsync("**/labs/operations");
        var jobs = await page.Context.RunAndWaitForPageAsync(() => page.GetByRole(AriaRole.Link, new() { Name = "Background jobs" }).ClickAsync());
        await jobs.Locator("h1").Sees().ToBeVisibleAsync();
        Assert.StartsWith(new Uri(nginx.Address, "jobs").ToString(), jobs.Url, StringComparison.Ordinal);
        Assert.Equal("/labs/operations", await jobs.GetByRole(AriaRole.Link, new() { Name = "Back to site" }).GetAttributeAsync("href"));
        Assert.Empty(strays);

        using var client = new PortalClient(nginx.Address, PortalProcess.AdminToken);
        (await client.GetAsync("openapi.json", Cancellation)).Must(200);
        using var metrics = await client.Http.GetAsync(new Uri(nginx.Address, "metrics"), Cancellation);
        Assert.Equal(HttpStatusCode.OK, metrics.StatusCode);
        var id = lab.Split('/')[^1];
        var machine = (string)(await client.GetAsync($"labs/{id}", Cancellation)).Must(200)["machines"][0]!["name"]!;
        var console = (string)(await client.PostAsync($"labs/{id}/machines/{machine}/console", new JsonObject { ["kind"] = "serial" }, Cancellation)).Must(200)["address"]!;
        Assert.StartsWith($"ws://{nginx.Address.Authority}/labs/consoles?", console, StringComparison.Ordinal);
        var listed = await Tool.RunAsync(Cancellation, "env", "NO_PROXY=*", $"LAB_URL={nginx.Address}", $"LAB_TOKEN={PortalProcess.AdminToken}", "dotnet", s_lab, "show", id, "-o", "json");
        Assert.Equal(id, (string)JsonNode.Parse(listed)!["id"]!);
        var ending = (await client.PostAsync($"labs/{id}/end", cancellation: Cancellation)).Must(202);
        Assert.Equal($"/labs/api/v1/labs/{id}", ending.Headers.Location?.ToString());
        await page.GotoAsync(lab);
        await page.StateAsync("Ended");
    }

    /// <summary>The documented configuration, on ports of this test.</summary>
    private sealed class Nginx : IAsyncDisposable
    {
        private readonly TestFolder _folder = new();
        private readonly Process _process;

        private Nginx(Uri portal, int port)
        {
            Address = new Uri($"http://127.0.0.1:{port}/labs/");
            var documented = File.ReadAllText(Path.Combine(Repository.Root, "infra", "proxy", "nginx.conf"));
            File.WriteAllText(_folder["portal.conf"], documented.Replace("127.0.0.1:8080", $"127.0.0.1:{port}", StringComparison.Ordinal).Replace("127.0.0.1:5000", portal.Authority, StringComparison.Ordinal));
            File.WriteAllText(_folder["nginx.conf"], $$"""
                daemon off;
                {{(Environment.IsPrivilegedProcess ? "user root;" : "")}}
                worker_processes 1;
                pid nginx.pid;
                error_log stderr;
                events { }
                http {
                    access_log off;
                    client_body_temp_path body;
                    proxy_temp_path proxy;
                    fastcgi_temp_path fastcgi;
                    uwsgi_temp_path uwsgi;
                    scgi_temp_path scgi;
                    include portal.conf;
                }
                """);
            // Debian's is where only root's path leads.
            var program = File.Exists("/usr/sbin/nginx") ? "/usr/sbin/nginx" : "nginx";
            _process = Process.Start(new ProcessStartInfo(program, ["-p", _folder.Path, "-c", _folder["nginx.conf"], "-e", "stderr"]) { UseShellExecute = false })!;
        }

        public Uri Address { get; }

        public static async Task<Nginx> StartAsync(Uri portal, CancellationToken cancellation)
        {
            using var free = new TcpListener(IPAddress.Loopback, 0);
            free.Start();
            var port = ((IPEndPoint)free.LocalEndpoint).Port;
            free.Stop();
            var nginx = new Nginx(portal, port);
            using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false });
            for (var i = 0; i < 300; i++)
            {
                try
                {
                    using var answer = await http.GetAsync(new Uri(nginx.Address, "health/live"), cancellation);
                    if (answer.IsSuccessStatusCode) return nginx;
                }
                catch (HttpRequestException)
                {
                    // It has just been started.
                }

                if (nginx._process.HasExited) break;
                await Task.Delay(100, cancellation);
            }

            var end = nginx._process.HasExited ? $"ended with {nginx._process.ExitCode}" : "did not lead to the portal";
            await nginx.DisposeAsync();
            throw new InvalidOperationException($"nginx {end}.");
        }

        public async ValueTask DisposeAsync()
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync();
            _process.Dispose();
            _folder.Dispose();
        }
    }
}
