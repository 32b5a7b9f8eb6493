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
    private readonly ConcurrentDictionary<string, (string Secret, string Token)> _applications = new();
    private readonly ConcurrentDictionary<string, ArmWorld> _logs = new();
    private readonly ConcurrentQueue<string> _violations = new();
    private WebApplication? _server;
    private X509Certificate2? _certificate;
    private int _lastToken;
    private int _calls;

    public string Url { get; private set; } = "";

    /// <summary>How many calls came.</summary>
    public int Calls => _calls;

    /// <summary>What neither the published definitions nor the peer's own rules have: see <see cref="ArmDefinitions"/>.</summary>
    public IReadOnlyCollection<string> Violations => _violations;

    /// <summary>The peer's certificate, which clients in other processes are to believe.</summary>
    public string CertificatePem => _certificate!.ExportCertificatePem();

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

    /// <summary>An application of the tenant <c>tenant</c> that may sign in to this subscription by its secret.</summary>
    internal (string Client, string Secret) NewApplication(ArmWorld subscription, WireFault? fault = null)
    {
        var client = Guid.NewGuid().ToString();
        var secret = $"secret-{Guid.NewGuid():n}-9b3e";
        _applications[client] = (secret, NewWire(subscription, fault));
        return (client, secret);
    }

    /// <summary>How often each action came from this application, and which of them was cut off.</summary>
    internal (IReadOnlyDictionary<string, int> Actions, string? Cut) Told(string client) => _wires[_applications[client].Token] is var wire ? (wire.Actions, wire.Cut) : default;

    private string NewWire(ArmWorld subscription, WireFault? fault)
    {
        var token = string.Create(CultureInfo.InvariantCulture, $"token-{Interlocked.Increment(ref _lastToken)}-9b3e");
        _wires[token] = new Wire(subscription, fault);
        return token;
    }

    internal TokenCredential NewToken(ArmWorld subscription, WireFault? fault = null)
    {
        var token = NewWire(subscription, fault);
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
            if (request.Path.Value!.EndsWith("/oauth2/v2.0/token", StringComparison.Ordinal))
            {
                await SignInAsync(context);
                return;
            }

            if (request.Path.StartsWithSegments("/serial", out var of))
            {
                await PrintAsync(context, of);
                return;
            }

            if (!_wires.TryGetValue(request.Headers.Authorization.ToString().Split(' ')[^1], out var wire) || wire.Fault is WireFault.RefusedLogin)
                throw new ArmRefusal(401, "InvalidAuthenticationToken", "The access token is invalid.");
            var isCut = wire.IsCut(ActionOf(request.Method, request.Path.Value!));
            Interlocked.Increment(ref _calls);
            if (wire.Fault is WireFault.Silent) await Task.Delay(Timeout.Infinite, context.RequestAborted);
            if (isCut && wire.Fault is WireFault.CutOff { AfterEffect: false })
            {
                context.Abort();
                return;
            }

            lost = isCut && wire.Fault is WireFault.CutOff { AfterEffect: true };
            if (wire.Fault is WireFault.Throttled throttled)
            {
                context.Response.Headers.RetryAfter = throttled.RetryAfter.TotalSeconds.ToString(CultureInfo.InvariantCulture);
                throw new ArmRefusal(429, "TooManyRequests", "The request is being throttled as the limit has been reached.");
            }

            if (!request.Query.TryGetValue("api-version", out var version)) throw new ArmRefusal(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.");
            _versions[version.ToString()] = 1;
            var action = ActionOf(request.Method, request.Path.Value!);
            _actions[action] = 1;
            if (wire.Subscription.Denied.Contains(action)) throw new ArmRefusal(403, "AuthorizationFailed", $"The client does not have authorization to perform action '{action}' over scope '{request.Path}'.");
            var query = request.Query.ToDictionary(pair => pair.Key, pair => pair.Value.ToString());
            var body = request.Method is "PUT" or "PATCH" ? (JsonObject)(await JsonNode.ParseAsync(request.Body, cancellationToken: context.RequestAborted))! : null;
            var type = action[..action.LastIndexOf('/')].Replace("subscriptions/resourceGroups", "resourceGroups", StringComparison.OrdinalIgnoreCase);
            if (body is not null) Hold(type, version.ToString(), body, request.Method == "PUT" ? ArmWay.Put : ArmWay.Patch);
            using var busy = action == "Microsoft.Compute/virtualMachines/write" ? await wire.Subscription.Creates.BeginAsync(context.RequestAborted) : null;
            var (status, answer) = wire.Subscription.Answer(request.Method, request.Path.Value!, query, body, wire.Fault is WireFault.Full);
            if (request.Method is "GET" or "PUT" or "PATCH" && !s_noResources.Contains(type))
            {
                foreach (var told in answer is JsonObject { Count: <= 2 } many && many["value"] is JsonArray items ? items.Select(item => (JsonObject)item!) : [(JsonObject)answer!]) Hold(type, version.ToString(), told, ArmWay.Answer);
            }

            if (answer is JsonObject boot && boot["serialConsoleLogBlobUri"]?.ToString() is { } log)
            {
                var signature = Guid.NewGuid().ToString("n");
                _logs[signature] = wire.Subscription;
                boot["serialConsoleLogBlobUri"] = $"{Url}{log}?sig={signature}";
            }

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

    /// <summary>What the definitions of resources do not have.</summary>
    private static readonly HashSet<string> s_noResources = new(StringComparer.OrdinalIgnoreCase)
    {
        "Microsoft.Resources/subscriptions", "Microsoft.Resources/subscriptions/resources", "Microsoft.Compute/locations/vmSizes", "Microsoft.Compute/locations/usages", "Microsoft.Authorization/permissions",
        "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions",
    };

    private void Hold(string type, string version, JsonObject body, ArmWay way)
    {
        foreach (var wrong in ArmDefinitions.Shared.Check(type, version, body, way)) _violations.Enqueue($"{way} {version} {wrong}");
    }

    /// <summary>OAuth 2.0 client credentials, as Microsoft Entra has them ("Microsoft identity platform and the OAuth 2.0 client credentials flow").</summary>
    private async Task SignInAsync(HttpContext context)
    {
        var form = await context.Request.ReadFormAsync(context.RequestAborted);
        var known = _applications.TryGetValue(form["client_id"].ToString(), out var application) && application.Secret == form["client_secret"].ToString();
        if (!context.Request.Path.StartsWithSegments("/tenant") || form["grant_type"] != "client_credentials" || !form["scope"].ToString().StartsWith($"{Url}/.default", StringComparison.Ordinal)) _violations.Enqueue($"sign-in: {context.Request.Path} {form["grant_type"]} {form["scope"]}");
        context.Response.StatusCode = known ? 200 : 401;
        await WriteAsync(context, known
            ? new JsonObject { ["token_type"] = "Bearer", ["expires_in"] = 3599, ["ext_expires_in"] = 3599, ["access_token"] = application.Token }
            : new JsonObject { ["error"] = "invalid_client", ["error_description"] = "AADSTS7000215: Invalid client secret provided." });
    }

    /// <summary>A blob behind a signed address, which gets no token.</summary>
    private async Task PrintAsync(HttpContext context, string of)
    {
        if (context.Request.Headers.Authorization.Count > 0) _violations.Enqueue("a token was sent to a signed address");
        if (!_logs.TryGetValue(context.Request.Query["sig"].ToString(), out var world)) context.Response.StatusCode = 403;
        else if (world.Find(of) is null) context.Response.StatusCode = 404;
        else await context.Response.WriteAsync(world.PrintedBy(of), context.RequestAborted);
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
        return method switch { "GET" => $"{type}/read", "PUT" or "PATCH" => $"{type}/write", "DELETE" => $"{type}/delete", _ => $"{type}/{verb}/action" };
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

    private sealed class Wire(ArmWorld subscription, WireFault? fault) : CountedWire(fault)
    {
        public ArmWorld Subscription => subscription;
    }
}
