using LabPortal.Testing;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Mvc.Testing;
using Microsoft.AspNetCore.TestHost;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace LabPortal.Web.Tests;

/// <summary>
/// The whole portal within the tests' process. Hangfire keeps the logging of the first portal of a process for ever, and breaks with it: so
/// these have one that is never disposed.
/// </summary>
public class TestPortal : WebApplicationFactory<Program>
{
    private readonly TestFolder _folder = new();

    protected override void ConfigureWebHost(IWebHostBuilder builder)
    {
        builder.UseSetting("LabPortal:DataFolder", _folder["data"]);
        builder.UseSetting("LabPortal:Bootstrap:AdminToken", "a-token-for-tests");
        builder.ConfigureTestServices(services => services.AddSingleton<ILoggerFactory>(NullLoggerFactory.Instance));
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        _folder.Dispose();
        GC.SuppressFinalize(this);
    }
}
