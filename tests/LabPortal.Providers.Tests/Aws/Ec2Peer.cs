using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Xml.Linq;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Xunit;

namespace LabPortal.Providers.Tests.Aws;

/// <summary>
/// A server that speaks the EC2 Query protocol on a loopback port: signatures (AWS Signature Version 4), actions, pages, dry runs, errors. Each access key belongs to an
/// account (<see cref="Ec2World"/>), and is a wire of its own, which may be harmed. Requests and answers are held against <see cref="Ec2Model"/>; what does not pass is in <see cref="Violations"/>.
/// </summary>
public sealed class Ec2Peer : IAsyncLifetime
{
    public const string Region = "test-1";

    private readonly ConcurrentDictionary<string, Wire> _wires = new();
    private readonly ConcurrentQueue<string> _violations = new();
    private readonly ConcurrentDictionary<string, int> _actions = new();
    private WebApplication? _server;
    private int _lastKey;

    public string Url { get; private set; } = "";

    public IReadOnlyCollection<string> Violations => _violations;

    /// <summary>How often each action was asked for.</summary>
    public IReadOnlyDictionary<string, int> Actions => _actions;

    public async ValueTask InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _server = builder.Build();
        _server.Run(ServeAsync);
        await _server.StartAsync();
        Url = _server.Urls.Single();
    }

    /// <summary>A new access key of this account: its id and its secret.</summary>
    /// <summary>How often each action came with this key, and which of them was cut off.</summary>
    internal (IReadOnlyDictionary<string, int> Actions, string? Cut) Told(string key) => (_wires[key].Actions, _wires[key].Cut);

    internal (string Id, string Secret) NewKey(Ec2World account, WireFault? fault = null)
    {
        var id = string.Create(CultureInfo.InvariantCulture, $"AKIATEST{Interlocked.Increment(ref _lastKey):d12}");
        var wire = _wires[id] = new Wire(account, $"secret-{id}-7d1c", fault);
        return (id, fault is WireFault.RefusedLogin ? "another-secret" : wire.Secret);
    }

    private async Task ServeAsync(HttpContext context)
    {
        using var reader = new StreamReader(context.Request.Body, Encoding.UTF8);
        var body = await reader.ReadToEndAsync(context.RequestAborted);
        var form = Microsoft.AspNetCore.WebUtilities.QueryHelpers.ParseQuery(body).ToDictionary(pair => pair.Key, pair => pair.Value.ToString());
        var action = form.GetValueOrDefault("Action") ?? "";
        var lost = false;
        try
        {
            var wire = Authenticate(context.Request, body);
            var isCut = wire.IsCut(action);
            if (wire.Fault is WireFault.Silent) await Task.Delay(Timeout.Infinite, context.RequestAborted);
            if (isCut && wire.Fault is WireFault.CutOff { AfterEffect: false })
            {
                await CutOffAsync(context);
                return;
            }

            lost = isCut && wire.Fault is WireFault.CutOff { AfterEffect: true };
            if (wire.Fault is WireFault.Throttled throttled)
            {
                context.Response.Headers.RetryAfter = throttled.RetryAfter.TotalSeconds.ToString(CultureInfo.InvariantCulture);
                throw new Ec2Refusal("RequestLimitExceeded", "Request limit exceeded.", 503);
            }

            _actions.AddOrUpdate(action, 1, (_, times) => times + 1);
            foreach (var wrong in Ec2Model.Shared.CheckRequest(action, form)) _violations.Enqueue($"request: {wrong}");
            var given = new Parameters(form.Where(pair => pair.Key is not ("Action" or "Version")).ToDictionary(pair => pair.Key, pair => pair.Value));
            if (wire.Account.DeniedOf(action, given) is { } denied)
                throw new Ec2Refusal("UnauthorizedOperation", $"You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/labs is not authorized to perform: ec2:{denied} on resource: arn:aws:ec2:{Region}:123456789012:*/* because no identity-based policy allows the ec2:{denied} action", 403);
            if (given["DryRun"] == "true") throw new Ec2Refusal("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412);
            using var busy = action == "RunInstances" ? await wire.Account.Creates.BeginAsync(context.RequestAborted) : null;
            XNamespace space = Ec2Model.Shared.Namespace;
            var answer = new XElement($"{action}Response", new XElement("requestId", Guid.NewGuid().ToString()), wire.Account.Answer(action, given, wire.Fault is WireFault.Full));
            foreach (var wrong in Ec2Model.Shared.CheckAnswer(action, answer)) _violations.Enqueue($"answer: {wrong}");
            foreach (var element in answer.DescendantsAndSelf()) element.Name = space + element.Name.LocalName;
            if (lost) await CutOffAsync(context);
            else await WriteAsync(context, 200, answer);
        }
        catch (Ec2Refusal) when (lost)
        {
            // A refusal's answer is lost as well.
            await CutOffAsync(context);
        }
        catch (Ec2Refusal refusal)
        {
            await WriteAsync(context, refusal.Status, new XElement("Response",
                new XElement("Errors", new XElement("Error", new XElement("Code", refusal.Code), new XElement("Message", refusal.Message))), new XElement("RequestID", Guid.NewGuid().ToString())));
        }
    }

    /// <summary>In the middle of an answer: what is cut off before, an HTTP client may send again by itself.</summary>
    private static async Task CutOffAsync(HttpContext context)
    {
        context.Response.ContentLength = 1000;
        await context.Response.WriteAsync("<?xml", context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
        context.Abort();
    }

    /// <summary>AWS Signature Version 4, reckoned anew ("Create a signed AWS API request", AWS IAM User Guide).</summary>
    private Wire Authenticate(HttpRequest request, string body)
    {
        var authorization = request.Headers.Authorization.ToString();
        if (!authorization.StartsWith("AWS4-HMAC-SHA256 ", StringComparison.Ordinal)) throw new Ec2Refusal("MissingAuthenticationToken", "Request is missing Authentication Token", 403);
        var parts = authorization["AWS4-HMAC-SHA256 ".Length..].Split(',', StringSplitOptions.TrimEntries).Select(part => part.Split('=', 2)).ToDictionary(part => part[0], part => part[1], StringComparer.Ordinal);
        var scope = parts["Credential"].Split('/');
        if (!_wires.TryGetValue(scope[0], out var wire)) throw new Ec2Refusal("AuthFailure", "AWS was not able to validate the provided access credentials", 401);
        var headers = parts["SignedHeaders"].Split(';');
        var canonical = string.Join('\n', [request.Method, request.Path.Value is { Length: > 0 } path ? path : "/", "",
            .. headers.Select(name => $"{name}:{(name == "host" ? request.Host.Value ?? "" : request.Headers[name].ToString()).Trim()}"), "", parts["SignedHeaders"], Hash(body)]);
        var toSign = string.Join('\n', "AWS4-HMAC-SHA256", request.Headers["X-Amz-Date"].ToString(), string.Join('/', scope[1..]), Hash(canonical));
        var key = scope[1..].Aggregate(Encoding.UTF8.GetBytes("AWS4" + wire.Secret), (key, part) => HMACSHA256.HashData(key, Encoding.UTF8.GetBytes(part)));
        if (Convert.ToHexStringLower(HMACSHA256.HashData(key, Encoding.UTF8.GetBytes(toSign))) != parts["Signature"])
            throw new Ec2Refusal("AuthFailure", "AWS was not able to validate the provided access credentials", 401);
        return wire;
    }

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    private static async Task WriteAsync(HttpContext context, int status, XElement answer)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "text/xml;charset=UTF-8";
        await context.Response.WriteAsync("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + answer.ToString(SaveOptions.DisableFormatting), context.RequestAborted);
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null) await _server.DisposeAsync();
        Assert.Empty(_violations.Distinct());
    }

    private sealed class Wire(Ec2World account, string secret, WireFault? fault) : CountedWire(fault)
    {
        public Ec2World Account => account;

        public string Secret => secret;
    }
}
