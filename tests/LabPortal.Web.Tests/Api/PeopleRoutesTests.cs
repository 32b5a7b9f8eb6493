using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using LabPortal.Operations.People;
using Microsoft.Extensions.DependencyInjection;

namespace LabPortal.Web.Tests.Api;

/// <summary>Teams and people over the API.</summary>
public sealed class PeopleRoutesTests(TestPortal portal) : IClassFixture<TestPortal>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_team_is_made_once_and_its_members_come_change_and_go()
    {
        var ben = await JoinAsync("ben@example.org");
        var made = await SendAsync(HttpMethod.Post, "teams", new { name = "welders", zone = "Europe/Berlin" }, 201);
        Assert.Equal("/api/v1/teams/welders", made.Location);
        await SendAsync(HttpMethod.Post, "teams", new { name = "welders", zone = "Europe/Berlin" }, 409);
        var wrong = await SendAsync(HttpMethod.Post, "teams", new { name = "Not A Name", zone = "Mars/Olympus" }, 400);
        Assert.Equal(["name", "zone"], wrong.Fields);

        Assert.Equal(["role"], (await SendAsync(HttpMethod.Put, "teams/welders/members/ben@example.org", new { role = "emperor" }, 400)).Fields);
        Assert.Equal(["role"], (await SendAsync(HttpMethod.Put, "teams/welders/members/ben@example.org", new { }, 400)).Fields);
        await SendAsync(HttpMethod.Put, "teams/welders/members/BEN@example.org", new { role = "requester" }, 200);
        var changed = await SendAsync(HttpMethod.Put, $"teams/welders/members/{ben}", new { role = "manager" }, 200);
        var member = Assert.Single(changed.Body!["members"]!.AsArray())!;
        Assert.Equal((ben, "manager"), ((string)member["person"]!, (string)member["role"]!));
        await SendAsync(HttpMethod.Put, "teams/welders/members/nobody@example.org", new { role = "manager" }, 404);
        await SendAsync(HttpMethod.Put, $"teams/nowhere/members/{ben}", new { role = "manager" }, 404);

        // Twice leaves what once leaves.
        foreach (var _ in new[] { 1, 2 }) Assert.Empty((await SendAsync(HttpMethod.Delete, "teams/welders/members/ben@example.org", null, 200)).Body!["members"]!.AsArray());
    }

    [Fact]
    public async Task Somebody_is_invited_with_rights_that_can_be_taken_is_shut_out_and_let_in_and_gets_a_link_for_a_new_password()
    {
        var link = (await SendAsync(HttpMethod.Post, "invitations", new { email = "otto@example.org", name = "Otto", auditor = true }, 200)).Body!;
        Assert.Matches("^http://localhost/invitation/[A-Za-z0-9_-]{20,}$", (string)link["address"]!);
        await UseAsync((string)link["address"]!, "Otto");
        Assert.Equal((false, true, false), await RightsAsync());
        await SendAsync(HttpMethod.Post, "invitations", new { email = "otto@example.org" }, 409);
        Assert.Equal(["role"], (await SendAsync(HttpMethod.Post, "invitations", new { email = "x@example.org", team = "a", role = "x" }, 400)).Fields);
        Assert.Equal(["admin"], (await SendAsync(HttpMethod.Post, "invitations", new { email = "x@example.org", admin = "yes" }, 400)).Fields);

        Assert.Equal(["auditor"], (await SendAsync(HttpMethod.Put, "people/otto@example.org/roles", new { admin = true }, 400)).Fields);
        await SendAsync(HttpMethod.Put, "people/otto@example.org/roles", new { admin = false, auditor = false }, 204);
        Assert.Equal((false, false, false), await RightsAsync());
        await SendAsync(HttpMethod.Post, "people/otto@example.org/disable", null, 204);
        Assert.Equal((false, false, true), await RightsAsync());
        await SendAsync(HttpMethod.Post, "people/otto@example.org/reset-link", null, 409);
        await SendAsync(HttpMethod.Post, "people/otto@example.org/enable", null, 204);
        Assert.StartsWith("http://localhost/reset/", (string)(await SendAsync(HttpMethod.Post, "people/otto@example.org/reset-link", null, 200)).Body!["address"]!, StringComparison.Ordinal);
        await SendAsync(HttpMethod.Post, "people/nobody@example.org/reset-link", null, 404);

        async Task<(bool, bool, bool)> RightsAsync()
        {
            var otto = (await SendAsync(HttpMethod.Get, "people/otto@example.org", null, 200)).Body!;
            return ((bool)otto["admin"]!, (bool)otto["auditor"]!, (bool)otto["disabled"]!);
        }
    }

    [Fact]
    public async Task Notices_and_counts_are_there_for_programs_too()
    {
        Assert.Empty((await SendAsync(HttpMethod.Get, "me/notices", null, 200)).Body!["items"]!.AsArray());
        Assert.Equal(["limit", "after"], (await SendAsync(HttpMethod.Get, "me/notices?limit=x&after=y", null, 400)).Fields);
        await SendAsync(HttpMethod.Post, "me/notices/read", null, 204);
        var counts = (await SendAsync(HttpMethod.Get, "runs/count", null, 200)).Body!;
        Assert.Equal((0, 0, 0), ((int)counts["running"]!, (int)counts["waiting"]!, (int)counts["stuck"]!));
    }

    private async Task<string> JoinAsync(string email)
    {
        var link = (await SendAsync(HttpMethod.Post, "invitations", new { email }, 200)).Body!;
        return await UseAsync((string)link["address"]!, email.Split('@')[0]);
    }

    private async Task<string> UseAsync(string address, string name)
        => (await portal.Services.GetRequiredService<PeopleCalls>().UseLinkAsync(address.Split('/')[^1], name, null, "a long good sentence", null, Cancellation)).Value.Person.ToString();

    private async Task<(JsonNode? Body, string? Location, IReadOnlyList<string> Fields)> SendAsync(HttpMethod method, string path, object? body, int status)
    {
        using var client = portal.CreateClient();
        using var request = new HttpRequestMessage(method, $"/api/v1/{path}") { Content = body is null ? null : JsonContent.Create(body) };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", "a-token-for-tests");
        using var answer = await client.SendAsync(request, Cancellation);
        var text = await answer.Content.ReadAsStringAsync(Cancellation);
        Assert.True((int)answer.StatusCode == status, $"{method} {path}: {(int)answer.StatusCode} {text}");
        var json = text.Length == 0 ? null : JsonNode.Parse(text);
        return (json, answer.Headers.Location?.ToString(), json is JsonObject && json["errors"] is JsonArray errors ? [.. errors.Select(error => (string)error!["field"]!)] : []);
    }
}
