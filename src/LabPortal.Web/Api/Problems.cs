using System.Text.Json;
using System.Text.Json.Serialization;
using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Web.Hosting;
using LabPortal.Web.Texts;
using Microsoft.AspNetCore.Diagnostics;
using NodaTime;

namespace LabPortal.Web.Api;

/// <summary>A "no" as RFC 9457 has it, with the fields that are wrong or the rule that binds.</summary>
internal sealed record Problem
{
    /// <summary><c>urn:labportal:problem:CODE</c>: an identifier, not an address.</summary>
    public required string Type { get; init; }
    public required string Title { get; init; }
    public required int Status { get; init; }

    /// <summary>Stable; what programs decide by.</summary>
    public required string Code { get; init; }

    /// <summary>A sentence for people.</summary>
    public required string Detail { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<ProblemField>? Errors { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ProblemRefusal? Refusal { get; init; }
    public required string TraceId { get; init; }
}

/// <summary>One field that is wrong.</summary>
internal sealed record ProblemField(string Field, string Code, string Message);

/// <summary>The quota rule that binds, who of the same team holds the rest, and what would fit.</summary>
internal sealed record ProblemRefusal(
    string Rule, string Dimension, long Limit, long Held, long Asked, IReadOnlyList<ProblemHolder> Holders, IReadOnlyList<ProblemOffer> Offers);

internal sealed record ProblemHolder(Guid Lab, string Name, string Owner, long Amount, Instant? Until);

/// <summary>Something that would fit: a sentence, and the change to the request that takes it (a JSON merge patch, RFC 7396).</summary>
internal sealed record ProblemOffer(string Say, IReadOnlyDictionary<string, object?> Change);

internal static class Problems
{
    public const string ContentType = "application/problem+json";

    public static int Status(RefusalKind kind) => kind switch
    {
        RefusalKind.Invalid => StatusCodes.Status400BadRequest,
        RefusalKind.Forbidden => StatusCodes.Status403Forbidden,
        RefusalKind.NotFound => StatusCodes.Status404NotFound,
        RefusalKind.Conflict => StatusCodes.Status409Conflict,
        RefusalKind.Mismatch => StatusCodes.Status422UnprocessableEntity,
        _ => StatusCodes.Status429TooManyRequests,
    };

    public static IResult Of(HttpContext context, Refusal refusal)
    {
        var status = Status(refusal.Kind);
        if (refusal.Kind == RefusalKind.TooMany) context.Response.Headers.RetryAfter = "60";
        return Results.Json(Describe(context, status, refusal.Code, Sentences.Of(refusal)) with
        {
            Errors = refusal.Errors?.Select(error => new ProblemField(error.Field, error.Code, Sentences.Of(error))).ToList(),
            Refusal = refusal.Quota is { } quota ? Describe(quota) : null,
        }, contentType: ContentType, statusCode: status);
    }

    public static ProblemRefusal Describe(QuotaRefusal quota) => new(
        quota.Rule,
        quota.Dimension,
        quota.Limit,
        quota.Held,
        quota.Asked,
        [.. quota.Holders.Select(holder => new ProblemHolder(holder.Lab, holder.LabName, holder.Owner, holder.Amount, holder.Until))],
        [.. quota.Offers.Select(offer => new ProblemOffer(Sentences.Of(offer), Nested(offer.Change)))]);

    /// <summary>A problem that no call refused: the wrong token, no such route, a broken world.</summary>
    public static Task WriteAsync(HttpContext context, int status, string code, params (string Name, object Value)[] arguments)
    {
        context.Response.StatusCode = status;
        return context.Response.WriteAsJsonAsync(Describe(context, status, code, Sentences.Of(code, arguments)), (JsonSerializerOptions?)null, ContentType, context.RequestAborted);
    }

    /// <summary>Turns what was thrown under <c>/api</c> into a problem: never a stack, never a name from inside.</summary>
    public static Task WriteFaultAsync(HttpContext context)
    {
        switch (context.Features.Get<IExceptionHandlerFeature>()?.Error)
        {
            case BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge }:
                return WriteAsync(context, StatusCodes.Status413PayloadTooLarge, "body.too-large", ("max", PortalSettings.MaxBodyBytes / 1024));
            case BadHttpRequestException bad:
                return WriteAsync(context, bad.StatusCode, "call.bad");
            case ProviderFault { Kind: FaultKind.Transient or FaultKind.Throttled } fault:
                context.Response.Headers.RetryAfter = Math.Max(1, (int)(fault.RetryAfter ?? TimeSpan.FromSeconds(5)).TotalSeconds).ToString();
                return WriteAsync(context, StatusCodes.Status503ServiceUnavailable, "pool.away", ("problem", fault.Message));
            case ProviderFault fault:
                return WriteAsync(context, StatusCodes.Status502BadGateway, "pool.fault", ("problem", fault.Message));
            default:
                return WriteAsync(context, StatusCodes.Status500InternalServerError, "portal.fault");
        }
    }

    private static Problem Describe(HttpContext context, int status, string code, string detail) => new()
    {
        Type = $"urn:labportal:problem:{code}",
        Title = Microsoft.AspNetCore.WebUtilities.ReasonPhrases.GetReasonPhrase(status),
        Status = status,
        Code = code,
        Detail = detail,
        TraceId = context.RequestId(),
    };

    // Inside, a field is named by its path: lease.hours. In the body it is an object in an object.
    private static Dictionary<string, object?> Nested(IReadOnlyDictionary<string, object?> change)
    {
        var nested = new Dictionary<string, object?>();
        foreach (var (path, value) in change)
        {
            var parts = path.Split('.');
            var into = nested;
            foreach (var part in parts[..^1])
            {
                if (into.GetValueOrDefault(part) is not Dictionary<string, object?> inner) into[part] = inner = [];
                into = inner;
            }

            into[parts[^1]] = value;
        }

        return nested;
    }
}
