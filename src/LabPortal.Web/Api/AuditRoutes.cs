using System.Buffers;
using System.Text;
using System.Text.Json;
using LabPortal.Domain;
using LabPortal.Domain.Audit;
using LabPortal.Operations.Audit;
using LabPortal.Operations.People;
using LabPortal.Web.Hosting;
using Microsoft.Extensions.Options;
using NodaTime;

namespace LabPortal.Web.Api;

internal sealed record AuditBody(
    Guid Id, Instant At, string Actor, PersonId? Person, string Channel, string? TokenName, string? Address, string? RequestId,
    string Verb, string ObjectKind, string ObjectId, string? ObjectName, string Outcome, IReadOnlyDictionary<string, string> Detail)
{
    public static AuditBody Of(AuditLine line) => new(
        line.Id, line.At, line.Actor, line.Person, line.Channel, line.TokenName, line.Address, line.RequestId,
        line.Verb, line.ObjectKind, line.ObjectId, line.ObjectName, line.Outcome, line.Detail);
}

internal static class AuditRoutes
{
    /// <summary>Where a browser, which has a session and no token, gets the file. It takes the same filters.</summary>
    public const string Download = "/audit/export";

    public static async Task<IResult> ListAsync(HttpContext context, AuditCalls audit, IOptions<Microsoft.AspNetCore.Http.Json.JsonOptions> json, CancellationToken cancellation)
    {
        var asked = new Asked(context);
        var filter = Filter(asked);
        if (AuditFile.Wanted(context) is { } type)
        {
            return asked.Mistakes is { Count: > 0 } wrong
                ? Answers.Invalid(context, wrong)
                : await FileAsync(context, context.Actor(), audit, filter, type, json.Value.SerializerOptions, cancellation);
        }

        var (limit, after) = (asked.Limit, asked.After);
        if (asked.Mistakes is { Count: > 0 } mistakes) return Answers.Invalid(context, mistakes);
        var found = await audit.ListAsync(context.Actor(), filter, limit, after, cancellation);
        return found.Ok ? Answers.Page(found.Value, AuditBody.Of) : Problems.Of(context, found.Refusal!);
    }

    public static async Task<IResult> OwnAsync(HttpContext context, AuditCalls audit, CancellationToken cancellation)
    {
        var asked = new Asked(context);
        var (limit, after) = (asked.Limit, asked.After);
        if (asked.Mistakes is { Count: > 0 } mistakes) return Answers.Invalid(context, mistakes);
        var found = await audit.OwnAsync(context.Actor(), limit, after, cancellation);
        return found.Ok ? Answers.Page(found.Value, AuditBody.Of) : Problems.Of(context, found.Refusal!);
    }

    public static async Task<IResult> DownloadAsync(
        HttpContext context, AuditCalls audit, PeopleCalls people, IOptions<Microsoft.AspNetCore.Http.Json.JsonOptions> json, CancellationToken cancellation)
    {
        if (await context.SessionActorAsync(people) is not { } actor) return Results.LocalRedirect("~/sign-in");
        var asked = new Asked(context);
        var filter = Filter(asked);
        return asked.Mistakes is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : await FileAsync(context, actor, audit, filter, asked.Text("format") == "jsonl" ? AuditFile.LinesType : AuditFile.CsvType, json.Value.SerializerOptions, cancellation);
    }

    private static AuditFilter Filter(Asked asked) => new()
    {
        Who = asked.Text("who"),
        What = asked.Text("what"),
        ObjectKind = asked.Text("kind"),
        Object = asked.Text("object"),
        From = asked.Instant("from"),
        To = asked.Instant("to"),
    };

    private static async Task<IResult> FileAsync(
        HttpContext context, Domain.People.Actor actor, AuditCalls audit, AuditFilter filter, string type, JsonSerializerOptions json, CancellationToken cancellation)
    {
        var export = await audit.ExportAsync(actor, filter, cancellation);
        return export.Ok
            ? Results.Stream(stream => AuditFile.WriteAsync(stream, type, export.Value.Lines, json, cancellation), $"{type}; charset=utf-8", type == AuditFile.CsvType ? "audit.csv" : "audit.jsonl")
            : Problems.Of(context, export.Refusal!);
    }
}

/// <summary>The audit as a file: for spreadsheets (RFC 4180), or an object a line for programs.</summary>
internal static class AuditFile
{
    public const string CsvType = "text/csv";
    public const string LinesType = "application/x-ndjson";

    /// <summary>Between two flushes, so that a slow reader holds back the reading of the database and nothing is gathered.</summary>
    private const int LinesAtOnce = 200;

    private static readonly SearchValues<char> s_quoted = SearchValues.Create(",\"\r\n\t; '");

    /// <summary>The file type that the caller prefers to a page, if it does.</summary>
    public static string? Wanted(HttpContext context) => context.Request.GetTypedHeaders().Accept
        .OrderByDescending(media => media.Quality ?? 1)
        .Select(media => media.MediaType.Value)
        .FirstOrDefault(media => media is CsvType or LinesType or "application/json" or "application/*" or "*/*") is var first and (CsvType or LinesType) ? first : null;

    public static async Task WriteAsync(Stream stream, string type, IAsyncEnumerable<AuditLine> lines, JsonSerializerOptions json, CancellationToken cancellation)
    {
        await using var writer = new StreamWriter(stream, new UTF8Encoding(false), bufferSize: 1 << 14, leaveOpen: true);
        var csv = type == CsvType;
        if (csv) await writer.WriteAsync("at,actor,person,channel,token,address,request,verb,objectKind,objectId,objectName,outcome,detail\r\n".AsMemory(), cancellation);
        var n = 0;
        await foreach (var line in lines.WithCancellation(cancellation))
        {
            await writer.WriteAsync((csv ? Row(line) : JsonSerializer.Serialize(AuditBody.Of(line), json) + "\n").AsMemory(), cancellation);
            if (++n % LinesAtOnce == 0) await writer.FlushAsync(cancellation);
        }
    }

    private static string Row(AuditLine line) => string.Join(',',
        ((string?[])[
            Instants.Write(line.At), line.Actor, line.Person?.ToString(), line.Channel, line.TokenName, line.Address, line.RequestId, line.Verb, line.ObjectKind, line.ObjectId, line.ObjectName,
            line.Outcome, line.Detail.Count == 0 ? "" : JsonSerializer.Serialize(line.Detail),
        ]).Select(Cell)) + "\r\n";

    /// <summary>
    /// One cell. A spreadsheet takes what begins so for a formula (OWASP, "CSV Injection"), also behind blanks and in full-width forms: an apostrophe
    /// before it makes it text.
    /// </summary>
    public static string Cell(string? value)
    {
        var text = value ?? "";
        if (text.TrimStart() is { Length: > 0 } said && "=+-@＝＋－＠".Contains(said[0], StringComparison.Ordinal) || text is ['\t' or '\r' or '\n', ..]) text = "'" + text;
        return text.AsSpan().ContainsAny(s_quoted) ? $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : text;
    }
}
