using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using LabPortal.Data;
using LabPortal.Data.Notices;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Operations.Settings;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.People;

/// <summary>
/// Sends what lies in the outbox: at least once, each with its own id so that a receiver can tell a repeat. A row is taken for longer than a
/// call may last; a node that dies in between is followed by another.
/// </summary>
public sealed class WebhookSweep(Database database, SecretStore secrets, LiveSettings settings, TimeProvider time, ILogger<WebhookSweep> log) : IDisposable
{
    /// <summary>Of the body, with the webhook's secret: <c>sha256=HEX</c>.</summary>
    public const string SignatureHeader = "X-LabPortal-Signature";
    public const string DeliveryHeader = "X-LabPortal-Delivery";

    private const int AtOnce = 16;
    private const int MostAttempts = 10;
    private static readonly Duration s_term = Duration.FromMinutes(1);
    private static readonly TimeSpan s_longest = TimeSpan.FromSeconds(15);
    private readonly HttpClient _http = new(OutsideAddress.Handler(settings)) { Timeout = s_longest, MaxResponseContentBufferSize = 64 * 1024 };

    /// <summary>Everything that is due now. Gives how many it tried.</summary>
    public async Task<int> PassAsync(CancellationToken cancellation)
    {
        var tried = 0;
        while (true)
        {
            var now = time.Now();
            var taken = await database.WriteAsync(session => NoticeStore.ClaimDueAsync(session, now, now + s_term, AtOnce), cancellation);
            await Task.WhenAll(taken.Select(one => DeliverAsync(one, cancellation)));
            tried += taken.Count;
            if (taken.Count < AtOnce) return tried;
        }
    }

    private async Task DeliverAsync(Outgoing one, CancellationToken cancellation)
    {
        var problem = await SendAsync(one, cancellation);
        var now = time.Now();
        Instant? next = one.Attempts < MostAttempts ? now + (Duration.FromSeconds(10) * Math.Pow(2, one.Attempts)) : null;
        // What was sent is noted whoever stopped waiting: otherwise it goes out once more.
        await database.WriteAsync(
            session => problem is null ? NoticeStore.SetSentAsync(session, one.Id, now) : NoticeStore.SetProblemAsync(session, one.Id, problem, next, now), CancellationToken.None);
    }

    private async Task<Reason?> SendAsync(Outgoing one, CancellationToken cancellation)
    {
        if (!Uri.TryCreate(one.Address, UriKind.Absolute, out var address) || address.Scheme is not ("https" or "http")) return new Reason("delivery.address");
        if (one.SecretName is null || await secrets.FindAsync(one.SecretName, cancellation) is not { } secret) return new Reason("delivery.gone");
        var body = JsonSerializer.SerializeToUtf8Bytes(new
        {
            id = one.Notice.Id,
            at = Instants.Write(one.Notice.At),
            code = one.Notice.Code,
            lab = one.Notice.Lab?.ToString(),
            arguments = one.Notice.Arguments,
        });
        using var request = new HttpRequestMessage(HttpMethod.Post, address) { Content = new ByteArrayContent(body) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        request.Headers.Add(SignatureHeader, Sign(body, secret.Reveal()));
        request.Headers.Add(DeliveryHeader, Ids.Canonical(one.Id));
        try
        {
            using var answer = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
            return answer.IsSuccessStatusCode ? null : new Reason("delivery.status", ("status", ((int)answer.StatusCode).ToString(CultureInfo.InvariantCulture)));
        }
        catch (HttpRequestException fault)
        {
            // What .NET says of it is for those who read the log, and quotes what the other side sent.
            log.LogInformation("The delivery {Delivery} to {Host} failed: {Why}", one.Id, address.IdnHost, ForeignText.Of(fault.InnerException is { } cause ? $"{fault.Message} {cause.Message}" : fault.Message, 500));
            return Why(fault, address.IdnHost);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return new Reason("delivery.timeout");
        }
    }

    internal static Reason Why(HttpRequestException fault, string host) => (fault.HttpRequestError, fault.InnerException) switch
    {
        (_, AddressInsideException) => new Reason("delivery.inside", ("host", host)),
        // A resolver that does not answer is for .NET a connection that failed.
        (HttpRequestError.NameResolutionError, _) or (_, SocketException { SocketErrorCode: SocketError.HostNotFound or SocketError.NoData or SocketError.TryAgain }) => new Reason("delivery.name", ("host", host)),
        (HttpRequestError.SecureConnectionError, _) => new Reason("delivery.tls", ("host", host)),
        (HttpRequestError.ConnectionError, _) => new Reason("delivery.connection", ("host", host)),
        _ => new Reason("delivery.answer"),
    };

    internal static string Sign(byte[] body, string secret) => $"sha256={Convert.ToHexStringLower(HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), body))}";

    public void Dispose() => _http.Dispose();
}
