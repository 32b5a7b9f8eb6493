using System.Threading.RateLimiting;
using LabPortal.Domain.People;
using LabPortal.Operations.Settings;
using LabPortal.Web.Api;
using LabPortal.Web.Features.SignIn;
using Microsoft.AspNetCore.Http.HttpResults;

namespace LabPortal.Web.Hosting;

/// <summary>How often one caller may call. Nobody is slowed down by somebody else's loop.</summary>
internal static class CallLimits
{
    private static readonly string[] s_signIns = ["/sign-in", "/setup", "/invitation", "/reset"];
    private static readonly string[] s_calls = ["/consoles", "/audit/export"];

    public static void AddCallLimits(this IServiceCollection services, LiveSettings settings) => services.AddRateLimiter(limits =>
    {
        limits.RejectionStatusCode = StatusCodes.Status429TooManyRequests;
        limits.OnRejected = async (rejected, cancellation) =>
        {
            var wait = rejected.Lease.TryGetMetadata(MetadataName.RetryAfter, out var after) ? after : TimeSpan.FromSeconds(1);
            rejected.HttpContext.Response.Headers.RetryAfter = Math.Max(1, (int)Math.Ceiling(wait.TotalSeconds)).ToString();
            if (rejected.HttpContext.IsApi()) await Problems.WriteAsync(rejected.HttpContext, StatusCodes.Status429TooManyRequests, "call.too-many");
            else await new RazorComponentResult<TooOften> { StatusCode = StatusCodes.Status429TooManyRequests }.ExecuteAsync(rejected.HttpContext);
        };
        limits.GlobalLimiter = PartitionedRateLimiter.Create<HttpContext, string>(context => context switch
        {
            // The limit is part of the key: one that is changed counts from the next call on.
            _ when IsSignIn(context) && settings.Now.SignInsPerMinute is var most => RateLimitPartition.GetSlidingWindowLimiter($"sign-in {most} {context.Address()}", _ => new SlidingWindowRateLimiterOptions
            {
                PermitLimit = most,
                Window = TimeSpan.FromMinutes(1),
                SegmentsPerWindow = 6,
            }),
            _ when IsCall(context) && settings.Now.CallsPerSecond is var calls => RateLimitPartition.GetTokenBucketLimiter($"{calls} {Caller(context)}", _ => new TokenBucketRateLimiterOptions
            {
                TokenLimit = calls * 2,
                TokensPerPeriod = calls,
                ReplenishmentPeriod = TimeSpan.FromSeconds(1),
            }),
            _ => RateLimitPartition.GetNoLimiter("pages"),
        });
    });

    // A password or a one-time link can be tried here.
    private static bool IsSignIn(HttpContext context) => HttpMethods.IsPost(context.Request.Method) && s_signIns.Any(path => context.Request.Path.StartsWithSegments(path));

    // Each of these writes an audit line, also when it is refused.
    private static bool IsCall(HttpContext context) => context.IsApi() || s_calls.Any(path => context.Request.Path.StartsWithSegments(path));

    private static string Caller(HttpContext context) => context.Features.Get<Actor>() is { } actor
        ? $"{actor.Channel} {actor.Person} {actor.TokenName}"
        : $"address {context.Address()}";
}
