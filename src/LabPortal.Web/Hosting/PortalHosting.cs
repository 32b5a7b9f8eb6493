using System.Security.Claims;
using Hangfire;
using Hangfire.Dashboard;
using Hangfire.InMemory;
using Hangfire.PostgreSql;
using Hangfire.PostgreSql.Factories;
using Hangfire.Server;
using LabPortal.Data;
using LabPortal.Domain;
using LabPortal.Operations;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.Consoles;
using LabPortal.Operations.Labs;
using LabPortal.Operations.Machines;
using LabPortal.Operations.Leases;
using LabPortal.Operations.People;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Quotas;
using LabPortal.Operations.Settings;
using LabPortal.Operations.Sweeps;
using LabPortal.Operations.Workflows;
using LabPortal.Providers;
using LabPortal.Web.Api;
using LabPortal.Web.Features.SignIn;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.HttpOverrides;

namespace LabPortal.Web.Hosting;

/// <summary>Composes the portal: database, providers, operations, background work.</summary>
internal static class PortalHosting
{
    /// <summary>Hangfire's own dashboard.</summary>
    public const string JobsPath = "/jobs";

    private const string AnyScheme = "portal";

    public static void AddPortal(this WebApplicationBuilder builder)
    {
        var settings = PortalSettings.Read(builder.Configuration);
        // The build's output finds the web root in the sources, in every environment; what is published has it beside it.
        builder.WebHost.UseStaticWebAssets();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = PortalSettings.MaxBodyBytes;
        });
        var live = new LiveSettings(settings.Decided);
        builder.Services.AddSingleton(settings);
        builder.Services.AddSingleton(live);
        builder.Services.AddSingleton(TimeProvider.System);
        builder.Services.AddPortalSecrets(Path.Combine(settings.DataFolder, "keys"));
        AddOperations(builder.Services, settings);
        AddBackgroundWork(builder.Services, settings);
        AddCallers(builder.Services);
        builder.Services.AddCallLimits(live);
        builder.AddTelemetry();
        builder.Services.AddHsts(hsts => hsts.MaxAge = TimeSpan.FromDays(180));
        if (settings.TrustedProxies.Count > 0) builder.Services.Configure<ForwardedHeadersOptions>(forwarded =>
        {
            forwarded.ForwardedHeaders = ForwardedHeaders.XForwardedFor | ForwardedHeaders.XForwardedProto | ForwardedHeaders.XForwardedHost | ForwardedHeaders.XForwardedPrefix;
            forwarded.KnownProxies.Clear();
            forwarded.KnownIPNetworks.Clear();
            foreach (var proxy in settings.TrustedProxies) forwarded.KnownProxies.Add(proxy);
        });
    }

    public static Task PreparePortalAsync(this WebApplication app) => app.Services.GetRequiredService<PortalStart>().PrepareAsync(app.Lifetime.ApplicationStopping);

    public static void UsePortal(this WebApplication app)
    {
        if (app.Services.GetRequiredService<PortalSettings>().TrustedProxies.Count > 0) app.UseForwardedHeaders();
        // A proxy that passes on the whole path; one that cuts it says so in X-Forwarded-Prefix.
        // Who said so already is not asked again: below /labs the page /labs would lose its own name.
        var path = app.Services.GetRequiredService<PortalSettings>().PublicPath;
        if (path is { } below) app.UseWhen(context => !context.Request.PathBase.HasValue, whole => whole.UsePathBase(below));
        if (!app.Environment.IsDevelopment()) app.UseHsts();
        app.UseSecurityHeaders();
        app.UseWhen(context => context.IsApi(), api => api.UseExceptionHandler(new ExceptionHandlerOptions { ExceptionHandler = Problems.WriteFaultAsync, AllowStatusCode404Response = true }));
        // In a scope of its own: the one of a page that broke has begun to draw that page.
        app.UseWhen(context => !context.IsApi(), pages => pages.UseExceptionHandler(new ExceptionHandlerOptions { ExceptionHandler = Broke.WriteAsync, CreateScopeForErrors = true }));
        app.UseMetrics();
        app.UseRouting();
        app.UseAuthentication();
        app.UseRateLimiter();
        app.UseAuthorization();
        app.UseAntiforgery();
        app.MapHealth();
        app.MapConsoles();
        app.Map(JobsPath + "/{**rest}", Jobs(app)).RequireAuthorization(new AuthorizeAttribute { AuthenticationSchemes = Callers.CookieScheme });
    }

    /// <summary>Hangfire's dashboard. It has one way back for all who come; below which path somebody came only their request says, so each has a dashboard made for it.</summary>
    private static RequestDelegate Jobs(IEndpointRouteBuilder app)
    {
        var (storage, routes) = (app.ServiceProvider.GetRequiredService<JobStorage>(), app.ServiceProvider.GetRequiredService<Hangfire.Dashboard.RouteCollection>());
        var jobs = app.CreateApplicationBuilder().UsePathBase(JobsPath);
        jobs.Run(context => new AspNetCoreDashboardMiddleware(_ => NotThereAsync(context), storage, new DashboardOptions
        {
            Authorization = [],
            AsyncAuthorization = [new AdminsOnly()],
            IsReadOnlyFunc = _ => true,
            DashboardTitle = "LabPortal",
            AppPath = $"{context.Request.PathBase.Value![..^JobsPath.Length]}/operations",
            DisplayStorageConnectionString = false,
        }, routes).Invoke(context));
        return jobs.Build();

        static Task NotThereAsync(HttpContext context)
        {
            context.Response.StatusCode = StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        }
    }

    private static void AddOperations(IServiceCollection services, PortalSettings settings)
    {
        services.AddSingleton(_ => Database.Open(settings.Database));
        services.AddSingleton<PortalStart>();
        services.AddSingleton(provider => provider.GetRequiredService<PortalStart>().Identity);
        services.AddSingleton(new Bootstrap(settings.AdminToken));
        services.AddSingleton(ProviderKinds.All);
        foreach (var kind in ProviderKinds.All) services.AddSingleton(kind);
        services.AddSingleton<AuditCalls>();
        services.AddSingleton<CatalogueCalls>();
        services.AddSingleton<ConsoleCalls>();
        services.AddSingleton<ConsoleSessions>();
        services.AddSingleton(provider => new PortalNode(!settings.IsShared, () => settings.NodeAddress ?? ConsolePassage.OwnAddress(provider.GetRequiredService<IServer>())));
        services.AddSingleton(new ConsoleWatch(TimeSpan.FromSeconds(10)));
        services.AddSingleton<GuestSeeds>();
        services.AddSingleton<LabCalls>();
        services.AddSingleton<LabDisks>();
        services.AddSingleton<LabFeed>();
        services.AddSingleton<NoticeCalls>();
        services.AddSingleton<OpenPools>();
        services.AddSingleton<PeopleCalls>();
        services.AddSingleton<Placing>();
        services.AddSingleton(new ImageFolders(settings.ImageFolders));
        services.AddSingleton<PoolCalls>();
        services.AddSingleton<QuotaCalls>();
        services.AddSingleton<RunCalls>();
        services.AddSingleton<RunViews>();
        services.AddSingleton<Runs>();
        services.AddSingleton<ConsoleRooms>();
        services.AddSingleton<SettingsCalls>();
        services.AddSingleton<SettingsChange>();
        services.AddSingleton<WebhookCalls>();
        services.AddHostedService<Listening>();
        services.AddHostedService<Welcome>();
    }

    private static void AddBackgroundWork(IServiceCollection services, PortalSettings settings)
    {
        services.AddHangfire(hangfire => hangfire.UseRecommendedSerializerSettings());
        // Made by the container, after the migrations: PostgreSQL's storage makes its schema when it is made.
        services.AddSingleton<JobStorage>(_ => settings.IsShared ? SharedJobs(settings.Database) : new InMemoryStorage());

        services.AddSingleton(new EngineSettings());
        services.AddSingleton(new RegisteredWorkflows());
        services.AddSingleton<IReach, SshBannerReach>();
        services.AddSingleton<MachineSpecs>();
        services.AddSingleton<StepTools>();
        services.AddSingleton<TurnBatch>();
        services.AddSingleton<TurnBell>();
        services.AddSingleton<TurnWriter>();
        services.AddSingleton<WorkerLease>();
        services.AddSingleton<IBackgroundProcess, WorkerBeat>();
        services.AddSingleton<IBackgroundProcess, TurnPump>();

        services.AddSweep<LeaseSweep>("lease sweep", TimeSpan.FromSeconds(1), sweep => sweep.RunAsync);
        services.AddSweep<PoolSweep>("pool sweep", TimeSpan.FromSeconds(5), sweep => sweep.RunAsync);
        services.AddSweep<ObservationSweep>("observation sweep", TimeSpan.FromSeconds(5), sweep => sweep.RunAsync);
        services.AddSweep<OrphanSweep>("orphan sweep", TimeSpan.FromSeconds(5), sweep => sweep.RunAsync);
        services.AddSweep<ImportSweep>("import sweep", TimeSpan.FromSeconds(5), sweep => sweep.RunAsync);
        services.AddSweep<WarmStateSweep>("warm state sweep", TimeSpan.FromSeconds(2), sweep => sweep.RunAsync);
        services.AddSweep<SettingsSweep>("settings sweep", TimeSpan.FromSeconds(2), sweep => sweep.RunAsync);
        services.AddSweep<WebhookSweep>("webhook sweep", TimeSpan.FromSeconds(2), sweep => sweep.PassAsync);
        services.AddHostedService<BackgroundWork>();
    }

    private static PostgreSqlStorage SharedJobs(string database)
    {
        // Its default looks for jobs every 15 s; some wake-ups of its long polling are lost, so that it looks each second anyway.
        var options = new PostgreSqlStorageOptions { QueuePollInterval = TimeSpan.FromSeconds(1), EnableLongPolling = true };
        return new PostgreSqlStorage(new NpgsqlConnectionFactory(database, options), options);
    }

    private static void AddSweep<TSweep>(this IServiceCollection services, string name, TimeSpan interval, Func<TSweep, Func<CancellationToken, Task>> pass) where TSweep : class
    {
        services.AddSingleton<TSweep>();
        services.AddSingleton<IBackgroundProcess>(provider => new SweepProcess(
            name, interval, pass(provider.GetRequiredService<TSweep>()), provider.GetRequiredService<ILoggerFactory>().CreateLogger<TSweep>()));
    }

    /// <summary>The API takes tokens only, so that no page of another site can use a browser's cookie there; pages take the cookie only.</summary>
    private static void AddCallers(IServiceCollection services)
    {
        services.AddAuthentication(AnyScheme)
            .AddPolicyScheme(AnyScheme, null, scheme => scheme.ForwardDefaultSelector = context => context.IsApi() ? Callers.TokenScheme : Callers.CookieScheme)
            .AddScheme<AuthenticationSchemeOptions, TokenAuthentication>(Callers.TokenScheme, null)
            .AddCookie(Callers.CookieScheme, cookie =>
            {
                cookie.Cookie.Name = "labportal";
                cookie.Cookie.HttpOnly = true;
                cookie.Cookie.SameSite = SameSiteMode.Lax;
                cookie.ExpireTimeSpan = TimeSpan.FromHours(12);
                cookie.SlidingExpiration = true;
                cookie.LoginPath = "/sign-in";
                cookie.LogoutPath = "/sign-out";
                cookie.AccessDeniedPath = "/";
                cookie.Events.OnValidatePrincipal = StillWelcomeAsync;
            });
        services.AddAuthorization();
        services.AddAntiforgery(antiforgery => antiforgery.Cookie.Name = "labportal-form");
        services.AddCascadingAuthenticationState();
    }

    /// <summary>A session whose person is disabled, or whose password changed since, is over within a minute.</summary>
    private static async Task StillWelcomeAsync(CookieValidatePrincipalContext context)
    {
        const string checkedAt = "checked";
        var now = context.HttpContext.RequestServices.GetRequiredService<TimeProvider>().GetUtcNow();
        if (context.Properties.Items.TryGetValue(checkedAt, out var last) && DateTimeOffset.TryParse(last, out var at) && now - at < TimeSpan.FromMinutes(1)) return;
        var people = context.HttpContext.RequestServices.GetRequiredService<PeopleCalls>();
        var person = context.Principal is null ? null : Callers.Person(context.Principal);
        var actor = person is { } id
            ? await people.ActorOfAsync(id, context.Principal!.FindFirstValue(Callers.StampClaim), context.HttpContext.Address(), context.HttpContext.RequestId(), context.HttpContext.RequestAborted)
            : null;
        if (actor is null)
        {
            context.RejectPrincipal();
            await context.HttpContext.SignOutAsync(Callers.CookieScheme);
            return;
        }

        context.Properties.Items[checkedAt] = now.ToString("O");
        context.ShouldRenew = true;
    }

    public static bool IsApi(this HttpContext context) => context.Request.Path.StartsWithSegments("/api");
}
