using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json.Nodes;

namespace LabPortal.Testing;

/// <summary>An answer as it came: what a script of somebody else would see.</summary>
public sealed record Answer(HttpStatusCode Status, JsonNode? Body, HttpResponseHeaders Headers)
{
    public int Code => (int)Status;

    public JsonNode this[string name] => Body?[name] ?? throw new InvalidOperationException($"The answer has no \"{name}\": {this}");

    /// <summary>The answer, which has to have this status.</summary>
    public Answer Must(int status) => Code == status ? this : throw new InvalidOperationException($"Expected {status}: {this}");

    /// <summary>Field → sentence of a 400.</summary>
    public IReadOnlyDictionary<string, string> Errors => Body?["errors"] is JsonArray errors
        ? errors.GroupBy(error => (string)error!["field"]!).ToDictionary(group => group.Key, group => (string)group.First()!["message"]!)
        : new Dictionary<string, string>();

    public override string ToString() => $"{Code} {Body?.ToJsonString()}";
}

/// <summary>The REST API as a script uses it: addresses and JSON, no types of the portal.</summary>
public sealed class PortalClient : IDisposable
{
    private readonly HttpClient _http;

    public PortalClient(Uri address, string? token)
    {
        _http = new HttpClient(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false }) { BaseAddress = new Uri(address, "api/v1/"), Timeout = TimeSpan.FromMinutes(5) };
        if (token is not null) _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
    }

    public HttpClient Http => _http;

    public Task<Answer> GetAsync(string path, CancellationToken cancellation = default) => SendAsync(HttpMethod.Get, path, null, cancellation);

    public Task<Answer> PostAsync(string path, JsonNode? body = null, CancellationToken cancellation = default)
        => SendAsync(HttpMethod.Post, path, body is null ? null : JsonContent.Create(body), cancellation);

    public Task<Answer> DeleteAsync(string path, CancellationToken cancellation = default) => SendAsync(HttpMethod.Delete, path, null, cancellation);

    public Task<Answer> ApplyAsync(string yaml, string query = "", CancellationToken cancellation = default)
        => SendAsync(HttpMethod.Put, "apply" + query, new StringContent(yaml, Encoding.UTF8, "application/yaml"), cancellation);

    public async Task<Answer> SendAsync(HttpMethod method, string path, HttpContent? content, CancellationToken cancellation, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        foreach (var (name, value) in headers) request.Headers.Add(name, value);
        using var response = await _http.SendAsync(request, cancellation);
        var text = await response.Content.ReadAsStringAsync(cancellation);
        var isJson = response.Content.Headers.ContentType?.MediaType is "application/json" or "application/problem+json";
        return new Answer(response.StatusCode, text.Length == 0 ? null : isJson ? JsonNode.Parse(text) : JsonValue.Create(text), response.Headers);
    }

    /// <summary>Asks until the lab is in this state; another end of its life is an error.</summary>
    public async Task<JsonNode> WaitForAsync(string lab, string state, TimeSpan? atMost = null, CancellationToken cancellation = default)
    {
        var since = Stopwatch.GetTimestamp();
        while (true)
        {
            var answer = (await GetAsync($"labs/{lab}", cancellation)).Must(200);
            var now = (string)answer["state"]!;
            var isLive = (string?)answer.Body!["run"]?["state"] is "running" or "undoing" or "stuck";
            if (now == state && !isLive) return answer.Body!;
            if (now is "failed" or "ended" && now != state) throw new InvalidOperationException($"The lab is {now}, not {state}: {answer}");
            if (Stopwatch.GetElapsedTime(since) > (atMost ?? TimeSpan.FromMinutes(5))) throw new TimeoutException($"The lab did not become {state}: {answer}");
            await Task.Delay(100, cancellation);
        }
    }

    /// <summary>A lab's events as they come.</summary>
    public async IAsyncEnumerable<(long Id, JsonNode Data)> EventsAsync(string lab, long after = 0, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"labs/{lab}/events");
        if (after > 0) request.Headers.Add("Last-Event-ID", after.ToString());
        using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
        response.EnsureSuccessStatusCode();
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(cancellation));
        var id = 0L;
        while (await reader.ReadLineAsync(cancellation) is { } line)
        {
            if (line.StartsWith("id: ", StringComparison.Ordinal)) id = long.Parse(line[4..]);
            else if (line.StartsWith("data: ", StringComparison.Ordinal)) yield return (id, JsonNode.Parse(line[6..])!);
        }
    }

    public void Dispose() => _http.Dispose();
}
