using LabPortal.Web.Hosting;

namespace LabPortal.Web.Api;

internal static class SettingsRoutes
{
    public static IResult List(HttpContext context, SettingsCalls settings)
        => Answers.Page(context, settings.List(context.Actor()), setting => $"{setting.Group}/{setting.Name}", setting => setting);
}
