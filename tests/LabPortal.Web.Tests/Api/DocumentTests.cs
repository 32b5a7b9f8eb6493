using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Xunit;

namespace LabPortal.Web.Tests.Api;

/// <summary>
/// What the API promises is checked in. After a change that is meant: <c>UPDATE_SNAPSHOTS=1 infra/test web</c>, and look at the difference
/// before it is committed.
/// </summary>
public sealed class DocumentTests(TestPortal portal) : IClassFixture<TestPortal>
{
    private static readonly string s_file = Path.Combine(Sources.Root, "src", "LabPortal.Web", "Api", "openapi.json");
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_document_is_the_one_that_is_checked_in()
    {
        using var client = portal.CreateClient();
        var served = (await client.GetStringAsync("/api/v1/openapi.json", Cancellation)).ReplaceLineEndings("\n").TrimEnd() + "\n";
        if (Environment.GetEnvironmentVariable("UPDATE_SNAPSHOTS") == "1") await File.WriteAllTextAsync(s_file, served, Cancellation);

        Assert.Equal(await File.ReadAllTextAsync(s_file, Cancellation), served);
    }

    [Fact]
    public async Task Every_call_of_the_contract_that_no_page_makes_is_in_the_document()
    {
        using var client = portal.CreateClient();
        var document = await client.GetFromJsonAsync<JsonObject>("/api/v1/openapi.json", Cancellation);
        var calls = document!["paths"]!.AsObject().SelectMany(path => path.Value!.AsObject().Select(verb => $"{verb.Key.ToUpperInvariant()} {path.Key["/api/v1".Length..]}")).ToHashSet();

        // What pages do too is held by CallsTests; here is what one call serves under several names, and what is for programs alone.
        string[] contract =
        [
            "POST /labs/{id}/start", "POST /labs/{id}/stop", "POST /labs/{id}/restart", "POST /labs/{id}/cancel", "POST /labs/{id}/end", "POST /labs/{id}/retry", "POST /labs/{id}/abandon",
            "POST /labs/{id}/machines/{name}/start", "POST /labs/{id}/machines/{name}/stop", "POST /labs/{id}/machines/{name}/restart", "GET /labs/{id}/events", "GET /me",
            "GET /images/{name}", "GET /sizes/{name}", "GET /people/{name}", "GET /pools/{name}/resources", "PUT /apply", "GET /export",
            "DELETE /blueprints/{name}", "POST /blueprints/{name}/detach", "DELETE /images/{name}", "POST /images/{name}/detach", "DELETE /sizes/{name}", "POST /sizes/{name}/detach",
        ];

        Assert.Empty(contract.Except(calls));
    }

    [Fact]
    public async Task Every_call_needs_a_token()
    {
        using var client = portal.CreateClient();
        var document = await client.GetFromJsonAsync<JsonObject>("/api/v1/openapi.json", Cancellation);
        foreach (var (path, verbs) in document!["paths"]!.AsObject())
        {
            foreach (var (verb, _) in verbs!.AsObject())
            {
                using var request = new HttpRequestMessage(HttpMethod.Parse(verb), path.Replace("{", "x", StringComparison.Ordinal).Replace("}", "x", StringComparison.Ordinal));
                using var answer = await client.SendAsync(request, Cancellation);
                Assert.True((int)answer.StatusCode == 401, $"{verb} {path} answered {(int)answer.StatusCode} without a token.");
            }
        }
    }
}
