using System.Collections.Concurrent;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace LabPortal.EndToEnd.Telemetry;

/// <summary>A span as it came over the wire.</summary>
public sealed record Span(string Trace, string Id, string Parent, string Name);

/// <summary>
/// Takes traces by OTLP/HTTP in its binary form. Field numbers are those of the published definition (open-telemetry/opentelemetry-proto,
/// <c>collector/trace/v1/trace_service.proto</c>, <c>trace/v1/trace.proto</c>); what sends them was written by others.
/// </summary>
public sealed class OtlpReceiver : IAsyncDisposable
{
    private readonly WebApplication _server;
    private readonly ConcurrentQueue<Span> _spans = new();

    private OtlpReceiver(WebApplication server) => _server = server;

    public string Address => _server.Urls.First();

    public IReadOnlyCollection<Span> Spans => _spans;

    public static async Task<OtlpReceiver> StartAsync(CancellationToken cancellation)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        var receiver = new OtlpReceiver(builder.Build());
        receiver._server.MapPost("/v1/traces", (Delegate)receiver.TakeAsync);
        await receiver._server.StartAsync(cancellation);
        return receiver;
    }

    public async ValueTask DisposeAsync() => await _server.DisposeAsync();

    private async Task<IResult> TakeAsync(HttpContext context)
    {
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body, context.RequestAborted);
        var spans = Fields(body.ToArray()).Where(field => field.Number == 1)
            .SelectMany(resource => Fields(resource.Bytes)).Where(field => field.Number == 2)
            .SelectMany(scope => Fields(scope.Bytes)).Where(field => field.Number == 2);
        foreach (var span in spans) _spans.Enqueue(Read(Fields(span.Bytes)));
        return Results.Bytes([], "application/x-protobuf");
    }

    private static Span Read(IReadOnlyList<(int Number, byte[] Bytes)> fields)
    {
        string Hex(int number) => Convert.ToHexStringLower(fields.FirstOrDefault(field => field.Number == number).Bytes ?? []);
        return new Span(Hex(1), Hex(2), Hex(4), Encoding.UTF8.GetString(fields.First(field => field.Number == 5).Bytes));
    }

    /// <summary>The message's fields (protobuf.dev/programming-guides/encoding); numbers are passed over, as nothing here reads them.</summary>
    private static List<(int Number, byte[] Bytes)> Fields(byte[] message)
    {
        var (fields, at) = (new List<(int, byte[])>(), 0);
        while (at < message.Length)
        {
            var tag = Varint();
            switch (tag & 7)
            {
                case 0:
                    Varint();
                    break;
                case 1:
                    at += 8;
                    break;
                case 2:
                    var length = (int)Varint();
                    fields.Add(((int)(tag >> 3), message[at..(at + length)]));
                    at += length;
                    break;
                case 5:
                    at += 4;
                    break;
                default:
                    throw new FormatException($"Wire type {tag & 7}.");
            }
        }

        return fields;

        ulong Varint()
        {
            ulong value = 0;
            for (var shift = 0; ; shift += 7)
            {
                var octet = message[at++];
                value |= (ulong)(octet & 0x7f) << shift;
                if (octet < 0x80) return value;
            }
        }
    }
}
