using LabPortal.Operations.Labs;
using LabPortal.Web.Features.Labs;
using LabPortal.Web.Features.Shell;
using LabPortal.Web.Features.SignIn;
using MudBlazor;
using MudBlazor.Services;

namespace LabPortal.Web.Features;

/// <summary>The portal's pages.</summary>
internal static class PageRoutes
{
    public static void AddPages(this WebApplicationBuilder builder)
    {
        builder.Services.AddRazorComponents().AddInteractiveServerComponents();
        builder.Services.AddCascadingAuthenticationState();
        builder.Services.AddMudServices(services =>
        {
            services.SnackbarConfiguration.PositionClass = Defaults.Classes.Position.BottomRight;
            services.SnackbarConfiguration.SnackbarVariant = Variant.Filled;
            services.SnackbarConfiguration.VisibleStateDuration = 6000;
            services.SnackbarConfiguration.ShowTransitionDuration = 120;
            services.SnackbarConfiguration.HideTransitionDuration = 120;
        });
        builder.Services.AddScoped<Caller>();
        builder.Services.AddScoped<Commands>();
        builder.Services.AddScoped<Browser>();
        builder.Services.AddScoped<Handover>();
        builder.Services.AddScoped<Ticker>();
        builder.Services.AddScoped<LabDeeds>();
        builder.Services.AddSingleton<LabFeed>();
    }

    public static void MapPages(this WebApplication app)
    {
        app.MapStaticAssets().AllowAnonymous();
        app.MapSignOut();
        app.MapRazorComponents<App>().AddInteractiveServerRenderMode();
    }
}
