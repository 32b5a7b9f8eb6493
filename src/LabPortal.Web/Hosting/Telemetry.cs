using System.Net;
using System.Security.Cryptography;
using System.Text;
using LabPortal.Operations.Settings;
using LabPortal.Operations.Telemetry;
using Microsoft.AspNetCore.Components.Server.Circuits;
using Microsoft.Extensions.Logging.Console;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace LabPortal.Web.Hosting;

/// <summary>
/// <c>/metrics</c> in Prometheus' text format, and traces by OTLP where <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> says where to: see this folder's README.
/// </summary>
internal static class Telemetry
{
    private const string Exported = "OTEL_EXPORTER_OTLP_ENDPOINT";

    public static void AddTelemetry(this WebApplicationBuilder builder)
    {
        AddTraceIds(builder);
        builder.Services.AddSingleton<InstallationGauges>();
        builder.Services.AddScoped<CircuitHandler, CountedCircuits>();
        var telemetry = builder.Services.AddOpenTelemetry()
            .ConfigureResource(resource => resource.AddService(
                "labportal", serviceVersion: typeof(Telemetry).Assembly.GetName().Version?.ToString(3), serviceInstanceId: $"{Environment.MachineName}-{Environment.ProcessId}"))
            .WithMetrics(metrics => metrics
                .AddMeter(PortalMeter.Name, "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Runtime")
                .AddPrometheusExporter());
        if (string.IsNullOrEmpty(builder.Configuration[Exported])) return;
        telemetry.WithTracing(traces => traces
            .AddSource(PortalTrace.Name)
            // The addresses of pages hold one-time tokens: only calls of the API are traced, and clicks by themselves.
            .AddAspNetCoreInstrumentation(requests => requests.Filter = context => context.IsApi())
            .AddOtlpExporter());
    }

    public static void UseMetrics(this WebApplication app)
    {
        app.UseWhen(IsMetrics, metrics => metrics.Use(async (context, next) =>
        {
            var settings = context.RequestServices.GetRequiredService<PortalSettings>();
            if (!MayRead(context, settings, context.RequestServices.GetRequiredService<LiveSettings>().Now))
            {
                context.Response.StatusCode = settings.MetricsToken is null ? StatusCodes.Status403Forbidden : StatusCodes.Status401Unauthorized;
                if (settings.MetricsToken is not null) context.Response.Headers.WWWAuthenticate = "Bearer";
                return;
            }

            await context.RequestServices.GetRequiredService<InstallationGauges>().RefreshAsync(context.RequestAborted);
            await next(context);
        }));
        app.UseOpenTelemetryPrometheusScrapingEndpoint(IsMetrics);
    }

    /// <summary>
    /// By a token, or from an allowed network. Who comes through a proxy that nobody said to trust has that proxy's address, which says nothing.
    /// </summary>
    internal static bool MayRead(HttpContext context, PortalSettings settings, InstallationSettings now)
    {
        var headers = context.Request.Headers;
        if (settings.MetricsToken is { } token && headers.Authorization.ToString() is { } sent && sent.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase)
            && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(sent["Bearer ".Length..].Trim()), Encoding.UTF8.GetBytes(token))) return true;
        if (headers.ContainsKey("X-Forwarded-For") || headers.ContainsKey("Forwarded")) return false;
        return IPAddress.TryParse(context.Address(), out var address) && now.MetricsNetworks.Any(network => network.Contains(address));
    }

    private static bool IsMetrics(HttpContext context) => context.Request.Path == "/metrics";

    /// <summary>Every log line says which trace it belongs to: the id that a problem of the API has, and that a page shows.</summary>
    private static void AddTraceIds(WebApplicationBuilder builder)
    {
        builder.Services.AddSingleton(PortalTrace.MakeIds());
        builder.Logging.Configure(logging => logging.ActivityTrackingOptions = ActivityTrackingOptions.TraceId);
        // Without a name the console takes older options, which know no scopes.
        builder.Services.Configure<ConsoleLoggerOptions>(console => console.FormatterName ??= ConsoleFormatterNames.Simple);
        builder.Services.Configure<SimpleConsoleFormatterOptions>(console => console.IncludeScopes = true);
        builder.Services.Configure<JsonConsoleFormatterOptions>(console => console.IncludeScopes = true);
        builder.Services.Configure<ConsoleFormatterOptions>(console => console.IncludeScopes = true);
        // Its lines, and the scope that it opens around all others, hold addresses; those of sign-ups, resets and consoles are secrets.
        builder.Logging.AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None);
        // Two lines for each request, that say no more than that there was one.
        builder.Logging.AddFilter("Microsoft.AspNetCore.Routing.EndpointMiddleware", LogLevel.Warning);
    }

    private sealed class CountedCircuits : CircuitHandler
    {
        public override Task OnCircuitOpenedAsync(Circuit circuit, CancellationToken cancellationToken)
        {
            PortalMeter.CircuitOpened();
            return Task.CompletedTask;
        }

        public override Task OnCircuitClosedAsync(Circuit circuit, CancellationToken cancellationToken)
        {
            PortalMeter.CircuitClosed();
            return Task.CompletedTask;
        }
    }
}
