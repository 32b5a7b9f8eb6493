using AngleSharp.Dom;
using Bunit;
using Microsoft.AspNetCore.Components;

namespace LabPortal.Web.Tests.Features;

/// <summary>What a control says of itself, also to who cannot see it.</summary>
internal static class Marks
{
    /// <summary>The sentences that the control is described by, where it is marked as wrong; nothing where it is not.</summary>
    public static string? Wrong<T>(this IRenderedComponent<T> part, string control) where T : IComponent
        => part.Find(control).GetAttribute("aria-invalid") == "true" ? part.Described(control) : null;

    /// <summary>The sentences that the control is described by; each has to be there.</summary>
    public static string Described<T>(this IRenderedComponent<T> part, string control) where T : IComponent
        => string.Join(" ", (part.Find(control).GetAttribute("aria-describedby") ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(id => part.Find($"[id='{id}']").TextContent.Trim()));

    public static IElement Button<T>(this IRenderedComponent<T> part, string text) where T : IComponent => part.FindAll("button").Last(button => button.TextContent.Trim() == text);

    public static string[] Buttons<T>(this IRenderedComponent<T> part) where T : IComponent => [.. part.FindAll("button").Select(button => button.TextContent.Trim()).Where(text => text.Length > 0)];

    public static string[] Texts<T>(this IRenderedComponent<T> part, string of) where T : IComponent => [.. part.FindAll(of).Select(found => found.TextContent.Trim())];
}
