using System.Collections.Concurrent;
using Microsoft.AspNetCore.Components;

namespace LabPortal.Web.Features.Shell;

/// <summary>
/// An icon as MudBlazor draws it, for what stands on each page or in each row: one text that all pages share. As a component of its own each takes kibibytes
/// of the portal's memory for as long as its page is open, and as an element of a row a few hundred bytes.
/// </summary>
internal static class Icon
{
    /// <summary>By sign: there are as many as the pages name.</summary>
    private static readonly ConcurrentDictionary<string, MarkupString> s_drawn = new();

    public static MarkupString Of(string sign) => s_drawn.GetOrAdd(sign, static sign =>
        new MarkupString($"""<svg class="mud-icon-root mud-svg-icon mud-icon-size-medium" focusable="false" viewBox="0 0 24 24" aria-hidden="true">{sign}</svg>"""));
}
