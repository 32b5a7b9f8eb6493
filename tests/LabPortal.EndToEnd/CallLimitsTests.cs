using System.Net;
using LabPortal.Testing;

namespace LabPortal.EndToEnd;

/// <summary>How often one caller may call.</summary>
public sealed class CallLimitsTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Who_calls_or_tries_to_sign_in_too_often_is_told_when_to_come_back()
    {
        using var folder = new TestFolder();
        await using var portal = await PortalProcess.StartAsync(folder["data"], more: new Dictionary<string, string> { ["LabPortal__Limits__CallsPerSecond"] = "2", ["LabPortal__Limits__SignInsPerMinute"] = "3" });
        using var client = portal.Client();

        // Twice as many at once as in a second.
        var calls = await Task.WhenAll(Enumerable.Range(0, 200).Select(_ => client.GetAsync("me", Cancellation)));
        Assert.True(calls.Count(call => call.Code == 200) >= 4);
        var refused = calls.First(call => call.Code == 429);
        Assert.Equal("call.too-many", (string)refused["code"]!);
        Assert.True(refused.Headers.RetryAfter!.Delta >= TimeSpan.FromSeconds(1));

        // What a page asks for by itself and writes an audit line is counted likewise, by its address.
        using (var plain = new HttpClient(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false }) { BaseAddress = portal.Address })
        {
            var exports = await Task.WhenAll(Enumerable.Range(0, 50).Select(async _ =>
            {
                using var answer = await plain.GetAsync("/audit/export", Cancellation);
                return answer.StatusCode;
            }));
            Assert.Contains(HttpStatusCode.TooManyRequests, exports);
        }

        // Passwords and one-time links are tried at one common limit of an address; looking at a page is not trying.
        using var browser = new HttpClient(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false }) { BaseAddress = portal.Address };
        var tries = new List<HttpStatusCode>();
        foreach (var path in new[] { "/sign-in", "/invitation/x", "/reset/x", "/setup/x", "/reset/x", "/invitation/x", "/sign-in" })
        {
            using var answer = await browser.PostAsync(path, new FormUrlEncodedContent([]), Cancellation);
            tries.Add(answer.StatusCode);
            if (answer.StatusCode != HttpStatusCode.TooManyRequests) continue;
            Assert.True(answer.Headers.RetryAfter!.Delta >= TimeSpan.FromSeconds(1));
            Assert.Contains("A little too often", await answer.Content.ReadAsStringAsync(Cancellation), StringComparison.Ordinal);
            using var look = await browser.GetAsync(path, Cancellation);
            Assert.NotEqual(HttpStatusCode.TooManyRequests, look.StatusCode);
        }

        Assert.DoesNotContain(HttpStatusCode.TooManyRequests, tries.Take(3));
        Assert.All(tries.Skip(3), status => Assert.Equal(HttpStatusCode.TooManyRequests, status));
    }
}
