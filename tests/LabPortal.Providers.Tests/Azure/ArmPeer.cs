using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Azure.Core;
using Azure.Core.Pipeline;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Xunit;

namespace LabPortal.Providers.Tests.Azure;

/// <summary>
/// A server that speaks Resource Manager over HTTPS on a loopback port: bearer tokens, asynchronous operations, pages, errors. Each token belongs to a subscription of
/// its own (<see cref="ArmWorld"/>) and is a wire that may be harmed.
/// </summary>
public sealed class ArmPeer : IAsyncLifetime
{
    private readonly ConcurrentDictionary<string, Wire> _wires = new();
    private readonly ConcurrentDictionary<string, int> _versions = new();
    private readonly ConcurrentDictionary<string, int> _actions = new();
    private WebApplication? _server;
    private X509Certificate2? _certificate;
    private int _lastToken;
    private int _calls;

    public string Url { get; private set; } = "";

    /// <summary>How many calls came.</summary>
    public int Calls => _calls;

    /// <summary>The API versions that were spoken.</summary>
    public IReadOnlyCollection<string> Versions => [.. _versions.Keys.Order()];

    /// <summary>The permissions that the calls needed, as role definitions name them.</summary>
    public IReadOnlyCollection<string> Actions => [.. _actions.Keys];

    public async ValueTask InitializeAsync()
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=127.0.0.1", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        _certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen =>
        {
            listen.Protocols = HttpProtocols.Http1;
            listen.UseHttps(_certificate);
        }));
        _server = builder.Build();
        _server.Run(ServeAsync);
        await _server.StartAsync();
        Url = _server.Urls.Single();
    }

    internal TokenCredential NewToken(ArmWorld subscription, WireFault? fault = null)
    {
        var token = string.Create(CultureInfo.InvariantCulture, $"token-{Interlocked.Increment(ref _lastToken)}-9b3e");
        _wires[token] = new Wire(subscription, fault);
        return DelegatedTokenCredential.Create((_, _) => new AccessToken(token, DateTimeOffset.UtcNow.AddHours(1)));
    }

    /// <summary>
    /// A transport that believes this peer's certificate and no other that nobody vouches for. What is cut off on a connection of its own no HTTP client sends again by
    /// itself: <paramref name="harmed"/> wires have one for each call.
    /// </summary>
    public HttpPipelineTransport NewTransport(bool harmed) => new HttpClientTransport(new HttpClient(new SocketsHttpHandler
    {
        PooledConnectionLifetime = harmed ? TimeSpan.Zero : Timeout.InfiniteTimeSpan,
        SslOptions = { RemoteCertificateValidationCallback = (_, shown, _, _) => shown?.GetCertHashString() == _certificate!.GetCertHashString() },
    })
    { Timeout = Timeout.InfiniteTimeSpan });

    private async Task ServeAsync(HttpContext context)
    {
        var request = context.Request;
        var lost = false;
        try
        {
            if (!_wires.TryGetValue(request.Headers.Authorization.ToString().Split(' ')[^1], out var wire) || wire.Fault is WireFault.RefusedLogin)
                throw new ArmRefusal(401, "InvalidAuthenticationToken", "The access token is invalid.");
            var call = wire.Count();
            Interlocked.Increment(ref _calls);
            if (wire.Fault is WireFault.Silent) await Task.Delay(Timeout.Infinite, context.RequestAborted);
            if (wire.Fault is WireFault.CutOff { AfterEffect: false } before && before.Call == call)
            {
                context.Abort();
                return;
            }

            lost = wire.Fault is WireFault.CutOff { AfterEffect: true } after && after.Call == call;
            if (wire.Fault is WireFault.Throttled throttled)
            {
                context.Response.Headers.RetryAfter = throttled.RetryAfter.TotalSeconds.ToString(CultureInfo.InvariantCulture);
                throw new ArmRefusal(429, "TooManyRequests", "The request is being throttled as the limit has been reached.");
            }

            if (!request.Query.TryGetValue("api-version", out var version)) throw new ArmRefusal(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.");
            _versions[version.ToString()] = 1;
            _actions[ActionOf(request.Method, request.Path.Value!)] = 1;
            var query = request.Query.ToDictionary(pair => pair.Key, pair => pair.Value.ToString());
            var body = request.Method == "PUT" ? (JsonObject)(await JsonNode.ParseAsync(request.Body, cancellationToken: context.RequestAborted))! : null;
            var (status, answer) = wire.Subscription.Answer(request.Method, request.Path.Value!, query, body, wire.Fault is WireFault.Full);
            if (answer is JsonObject page && page["nextLink"] is { } next) page["nextLink"] = $"{Url}{request.Path}{Microsoft.AspNetCore.WebUtilities.QueryHelpers.AddQueryString("", query.Where(pair => pair.Key != "$skiptoken").Append(new("$skiptoken", next.ToString()))!)}";
            if (lost)
            {
                context.Abort();
                return;
            }

            context.Response.StatusCode = status;
            if (status is 202 or 201 && request.Method != "GET") context.Response.Headers["Azure-AsyncOperation"] = $"{Url}/subscriptions/{ArmWorld.Subscription}/operations/1?api-version={version}";
            if (status == 202) context.Response.Headers.Location = $"{Url}/subscriptions/{ArmWorld.Subscription}/operations/1?api-version={version}";
            if (answer is not null) await WriteAsync(context, answer);
        }
        catch (ArmRefusal refusal)
        {
            // A refusal's answer is lost as well.
            if (lost)
            {
                context.Abort();
                return;
            }

            context.Response.StatusCode = refusal.Status;
            await WriteAsync(context, new JsonObject { ["error"] = new JsonObject { ["code"] = refusal.Code, ["message"] = refusal.Message } });
        }
    }

    /// <summary>learn.microsoft.com, "Azure permissions": the type of the resource, and what is done to it.</summary>
    private static string ActionOf(string method, string path)
    {
        var parts = path.Trim('/').Split('/');
        var provider = Array.IndexOf(parts, "providers");
        var (type, verb) = parts switch
        {
            _ when provider > 0 => ($"{parts[provider + 1]}/{string.Join('/', parts[(provider + 2)..].Where((_, i) => i % 2 == 0 && (method != "POST" || i < 2)))}", parts[^1]),
            { Length: 2 } => ("Microsoft.Resources/subscriptions", ""),
            _ when parts[2] == "resources" => ("Microsoft.Resources/subscriptions/resources", ""),
            _ => ("Microsoft.Resources/subscriptions/resourceGroups", ""),
        };
        return method switch { "GET" => $"{type}/read", "PUT" => $"{type}/write", "DELETE" => $"{type}/delete", _ => $"{type}/{verb}/action" };
    }

    private static Task WriteAsync(HttpContext context, JsonNode answer)
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        return context.Response.WriteAsync(answer.ToJsonString(), context.RequestAborted);
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null) await _server.DisposeAsync();
        _certificate?.Dispose();
    }

    private sealed class Wire(ArmWorld subscription, WireFault? fault)
    {
        private int _calls;

        public ArmWorld Subscription => subscription;

        public WireFault? Fault => fault;

        public int Count() => Interlocked.Increment(ref _calls);
    }
}
