using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.ServerSentEvents;
using System.Net.WebSockets;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using LabPortal.Cli.Shell;
using LabPortal.Cli.SignIn;

namespace LabPortal.Cli.Api;

/// <summary>The portal said "no", in the form of RFC 9457.</summary>
internal sealed class PortalRefused(JsonObject problem, int status) : CommandFailed(Exits.OfStatus(status), problem.Text("detail"))
{
    public JsonObject Problem { get; } = problem;

    /// <summary>It may be otherwise in a moment: the portal is in trouble, or was called too often.</summary>
    public bool MayPass { get; } = status is 429 or >= 500;
}

/// <summary>
/// The REST API under <c>/api/v1</c>: paths and JSON as they are. A "no" is thrown as <see cref="PortalRefused"/>, a portal that does not
/// answer as a portal does as <see cref="Exit.Unreachable"/>. What may be repeated is repeated where its answer was lost on the way.
/// </summary>
internal sealed class PortalApi : IDisposable
{
    private const int MostTries = 4;
    private static readonly TimeSpan s_longestWait = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan s_betweenTries = TimeSpan.FromSeconds(1);

    private readonly Account _account;
    private readonly HttpClient _http;
    private readonly bool _isVerbose;

    public PortalApi(Account account, bool isVerbose)
    {
        (_account, _isVerbose) = (account, isVerbose);
        // A redirect would carry the token somewhere else.
        _http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, ConnectTimeout = TimeSpan.FromSeconds(10), UseCookies = false })
        {
            BaseAddress = new Uri(account.Address, "api/v1/"),
            Timeout = TimeSpan.FromSeconds(100),
            MaxResponseContentBufferSize = 64 << 20,
        };
        _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", account.Token);
        _http.DefaultRequestHeaders.UserAgent.Add(new ProductInfoHeaderValue("lab", typeof(PortalApi).Assembly.GetName().Version!.ToString(3)));
        _http.DefaultRequestHeaders.Accept.ParseAdd("application/json");
    }

    public Task<JsonNode> GetAsync(string path, CancellationToken cancellation) => SendAsync(HttpMethod.Get, path, null, null, cancellation);

    /// <summary>With an idempotency key it may be repeated.</summary>
    public Task<JsonNode> PostAsync(string path, JsonNode? body, CancellationToken cancellation, string? key = null)
        => SendAsync(HttpMethod.Post, path, () => body is null ? null : JsonContent.Create(body), key, cancellation);

    public Task<JsonNode> DeleteAsync(string path, CancellationToken cancellation) => SendAsync(HttpMethod.Delete, path, null, null, cancellation);

    public Task<JsonNode> ApplyAsync(string query, string yaml, CancellationToken cancellation)
        => SendAsync(HttpMethod.Put, "apply" + query, () => new StringContent(yaml, Encoding.UTF8, "application/yaml"), null, cancellation);

    /// <summary>A list with all of its pages, or its first items: <c>{"items":[…],"next"}</c>, where <c>next</c> is only there if it goes on.</summary>
    public async Task<JsonNode> ListAsync(string path, IEnumerable<(string Name, string Value)> query, int? limit, CancellationToken cancellation)
    {
        const int page = 200;
        var (items, next) = (new JsonArray(), (string?)null);
        do
        {
            var asked = query.Append(("limit", $"{Math.Min(page, (limit ?? int.MaxValue) - items.Count)}")).Concat(next is null ? [] : [("after", next)]);
            var answer = await GetAsync($"{path}?{Query(asked)}", cancellation);
            foreach (var item in answer.Items("items").ToList()) items.Add(item.DeepClone());
            next = answer.Text("next") is { Length: > 0 } key ? key : null;
        }
        while (next is not null && items.Count < (limit ?? int.MaxValue));
        return new JsonObject { ["items"] = items, ["next"] = next };
    }

    public static string Query(IEnumerable<(string Name, string Value)> asked) => string.Join('&', asked.Select(part => $"{part.Name}={Uri.EscapeDataString(part.Value)}"));

    /// <summary>What is no JSON, as it comes.</summary>
    public async Task ReadAsync(string path, string type, Func<Stream, CancellationToken, Task> read, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.Accept.ParseAdd(type);
        using var response = await ExchangeAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
        if (!response.IsSuccessStatusCode) throw await RefusedAsync(response, cancellation);
        if (response.Content.Headers.ContentType?.MediaType != type) throw Unreachable($"answers, but not as a portal does ({(int)response.StatusCode})");
        await using var stream = await response.Content.ReadAsStreamAsync(cancellation);
        try
        {
            await read(stream, cancellation);
        }
        catch (HttpIOException fault)
        {
            throw Unreachable($"broke off in the middle: {Innermost(fault)}", fault);
        }
    }

    /// <summary>
    /// A lab's events after this version, until the line breaks: then it ends, and the caller goes on after the last one that it saw.
    /// </summary>
    public async IAsyncEnumerable<JsonNode> EventsAsync(string lab, long after, [EnumeratorCancellation] CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"labs/{lab}/events") { Headers = { { "Last-Event-ID", $"{after}" } } };
        request.Headers.Accept.ParseAdd("text/event-stream");
        using var response = await ExchangeAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
        if (!response.IsSuccessStatusCode) throw await RefusedAsync(response, cancellation);
        await using var stream = await response.Content.ReadAsStreamAsync(cancellation);
        await using var events = SseParser.Create(stream, (_, data) => JsonNode.Parse(data)).EnumerateAsync(cancellation).GetAsyncEnumerator(cancellation);
        while (true)
        {
            try
            {
                if (!await events.MoveNextAsync()) yield break;
            }
            catch (IOException)
            {
                yield break;
            }

            if (events.Current.Data is { } data) yield return data;
        }
    }

    /// <summary>A WebSocket of the portal, beside the API; it is asked for with the same token, at the account's own address and nowhere else.</summary>
    public async Task<ClientWebSocket> OpenSocketAsync(string path, string query, CancellationToken cancellation)
    {
        var address = new UriBuilder(new Uri(_account.Address, path)) { Scheme = _account.Address.Scheme == Uri.UriSchemeHttps ? "wss" : "ws", Query = query }.Uri;
        var socket = new ClientWebSocket { Options = { CollectHttpResponseDetails = true, KeepAliveInterval = TimeSpan.FromSeconds(15) } };
        socket.Options.SetRequestHeader("Authorization", $"Bearer {_account.Token}");
        try
        {
            await socket.ConnectAsync(address, cancellation);
            return socket;
        }
        catch (WebSocketException fault)
        {
            var status = (int)socket.HttpStatusCode;
            socket.Dispose();
            throw status >= 400 ? new CommandFailed(Exits.OfStatus(status), $"The portal does not open it ({status}).", fault) : Unreachable($"does not open it: {Innermost(fault)}", fault);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    public void Dispose() => _http.Dispose();

    private async Task<JsonNode> SendAsync(HttpMethod method, string path, Func<HttpContent?>? content, string? key, CancellationToken cancellation)
    {
        var mayRepeat = method == HttpMethod.Get || key is not null;
        for (var tries = 1; ; tries++)
        {
            using var request = new HttpRequestMessage(method, path) { Content = content?.Invoke() };
            if (key is not null) request.Headers.Add("Idempotency-Key", key);
            try
            {
                using var response = await ExchangeAsync(request, HttpCompletionOption.ResponseContentRead, cancellation);
                if (response.StatusCode == HttpStatusCode.TooManyRequests && tries < MostTries && response.Headers.RetryAfter?.Delta is { } wait && wait <= s_longestWait)
                {
                    await Task.Delay(wait, cancellation);
                    continue;
                }

                return response.IsSuccessStatusCode ? await ReadAsync(response, cancellation) : throw await RefusedAsync(response, cancellation);
            }
            catch (CommandFailed failed) when (mayRepeat && tries < MostTries && failed.InnerException is HttpRequestException { HttpRequestError: HttpRequestError.ResponseEnded or HttpRequestError.InvalidResponse or HttpRequestError.Unknown })
            {
                // There was a connection, and it broke: it was heard, perhaps, and only its answer is lost.
                await Task.Delay(s_betweenTries, cancellation);
            }
        }
    }

    private async Task<HttpResponseMessage> ExchangeAsync(HttpRequestMessage request, HttpCompletionOption until, CancellationToken cancellation)
    {
        var since = Stopwatch.GetTimestamp();
        if (_isVerbose) Terminal.Say($"> {request.Method} {Safe.Text(new Uri(_http.BaseAddress!, request.RequestUri!).AbsoluteUri)}");
        try
        {
            var response = await _http.SendAsync(request, until, cancellation);
            if (_isVerbose) Terminal.Say($"< {(int)response.StatusCode} after {Stopwatch.GetElapsedTime(since).TotalMilliseconds:0} ms");
            return response;
        }
        catch (HttpRequestException fault)
        {
            throw Unreachable($"does not answer: {Innermost(fault)}", fault);
        }
        catch (OperationCanceledException fault) when (!cancellation.IsCancellationRequested)
        {
            throw Unreachable("does not answer in time", fault);
        }
    }

    private async Task<JsonNode> ReadAsync(HttpResponseMessage response, CancellationToken cancellation)
        => await JsonOfAsync(response, "application/json", cancellation) ?? throw Unreachable($"answers, but not as a portal does ({(int)response.StatusCode})");

    private async Task<CommandFailed> RefusedAsync(HttpResponseMessage response, CancellationToken cancellation)
    {
        var status = (int)response.StatusCode;
        if (await JsonOfAsync(response, "application/problem+json", cancellation) is JsonObject problem) return new PortalRefused(problem, status);
        return response.Headers.Location is { } elsewhere
            ? Unreachable($"sends on to {elsewhere}: sign in there if that is the portal")
            : Unreachable($"answers, but not as a portal does ({status})");
    }

    private static async Task<JsonNode?> JsonOfAsync(HttpResponseMessage response, string type, CancellationToken cancellation)
    {
        if (response.Content.Headers.ContentType?.MediaType != type) return null;
        try
        {
            return JsonNode.Parse(await response.Content.ReadAsStringAsync(cancellation));
        }
        catch (JsonException)
        {
            // Called JSON and is none: nothing that a portal says.
            return null;
        }
    }

    private CommandFailed Unreachable(string how, Exception? cause = null)
        => new(Exit.Unreachable, Safe.Text($"{_http.BaseAddress!.GetLeftPart(UriPartial.Authority)} {how}."), cause);

    private static string Innermost(Exception fault) => fault.InnerException is { } inner ? Innermost(inner) : fault.Message.TrimEnd('.');
}
