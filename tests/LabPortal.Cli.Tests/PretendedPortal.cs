using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace LabPortal.Cli.Tests;

/// <summary>An address that answers as a test says: what a real portal would not, or not when it is wanted.</summary>
internal sealed class PretendedPortal : IAsyncDisposable
{
    private readonly WebApplication _app;

    private PretendedPortal(WebApplication app) => _app = app;

    public Uri Address => new(_app.Urls.Single());

    public static async Task<PretendedPortal> StartAsync(RequestDelegate answer)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.Services.Configure<KestrelServerOptions>(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var app = builder.Build();
        app.Run(answer);
        await app.StartAsync();
        return new PretendedPortal(app);
    }

    /// <summary>The same JSON for every call.</summary>
    public static Task<PretendedPortal> SayingAsync(string json, int status = 200) => StartAsync(context =>
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = status < 400 ? "application/json" : "application/problem+json";
        return context.Response.WriteAsync(json);
    });

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();
}
