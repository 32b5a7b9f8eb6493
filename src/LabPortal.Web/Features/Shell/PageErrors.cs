using LabPortal.Operations.Telemetry;
using LabPortal.Web.Texts;
using Microsoft.AspNetCore.Components.Web;

namespace LabPortal.Web.Features.Shell;

/// <summary>What broke is in the log, under an id that the page shows for a person to quote.</summary>
public sealed class PageErrors : ErrorBoundary
{
    /// <summary>Text with the id of the click or read under way, where it has one.</summary>
    public static string Quoted(string text) => PortalTrace.ClickId is { } id ? $"{text} {Say.QuoteId.With(("id", id))}" : text;

    public string Told { get; private set; } = Say.PageBroke;

    protected override async Task OnErrorAsync(Exception exception)
    {
        using var traced = PortalTrace.Click("page");
        Told = Quoted(Say.PageBroke);
        await base.OnErrorAsync(exception);
    }
}
