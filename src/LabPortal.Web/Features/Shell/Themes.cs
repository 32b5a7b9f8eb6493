using MudBlazor;

namespace LabPortal.Web.Features.Shell;

/// <summary>Light, dark, or what the system says; and MudBlazor's palettes, with the values that portal.css has.</summary>
internal static class Themes
{
    public const string Cookie = "labportal-theme";
    public const string Light = "light";
    public const string Dark = "dark";
    public const string System = "system";
    public static readonly IReadOnlyList<string> All = [Light, Dark, System];

    private static readonly string[] s_sans = ["Inter", "system-ui", "-apple-system", "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "sans-serif"];

    public static readonly MudTheme Portal = new()
    {
        PaletteLight = new PaletteLight
        {
            Primary = "#0f5e6b", PrimaryContrastText = "#ffffff", Secondary = "#55625e", Tertiary = "#1c4f93",
            Background = "#f4f6f5", BackgroundGray = "#eef1ef", Surface = "#ffffff",
            AppbarBackground = "#ffffff", AppbarText = "#15201e", DrawerBackground = "#f4f6f5", DrawerText = "#15201e", DrawerIcon = "#55625e",
            TextPrimary = "#15201e", TextSecondary = "#55625e", TextDisabled = "#87938e", ActionDefault = "#55625e", ActionDisabled = "#87938e",
            Divider = "#dde3e0", LinesDefault = "#dde3e0", LinesInputs = "#87938e", TableLines = "#dde3e0",
            Success = "#1f6a3d", Warning = "#7a5000", Error = "#a1261e", Info = "#1c4f93", Dark = "#22302c",
        },
        PaletteDark = new PaletteDark
        {
            Primary = "#5fc4cf", PrimaryContrastText = "#06262b", Secondary = "#9ba9a4", Tertiary = "#8cb9f6",
            Background = "#0d1312", BackgroundGray = "#101716", Surface = "#151d1b",
            AppbarBackground = "#151d1b", AppbarText = "#e6ece9", DrawerBackground = "#0d1312", DrawerText = "#e6ece9", DrawerIcon = "#9ba9a4",
            TextPrimary = "#e6ece9", TextSecondary = "#9ba9a4", TextDisabled = "#5d6a66", ActionDefault = "#9ba9a4", ActionDisabled = "#5d6a66",
            Divider = "#27312e", LinesDefault = "#27312e", LinesInputs = "#5d6a66", TableLines = "#27312e",
            Success = "#80d39e", SuccessContrastText = "#07210f", Warning = "#e9bc62", WarningContrastText = "#2a1d02",
            Error = "#f3968d", ErrorContrastText = "#330b07", Info = "#8cb9f6", InfoContrastText = "#06182f", Dark = "#2c3834",
        },
        LayoutProperties = new LayoutProperties { DefaultBorderRadius = "8px", AppbarHeight = "60px", DrawerWidthLeft = "232px" },
        Typography = new Typography
        {
            Default = new DefaultTypography { FontFamily = s_sans, FontSize = "14px", LineHeight = "1.55", LetterSpacing = "normal" },
            Body1 = new Body1Typography { FontFamily = s_sans, FontSize = "14px", LetterSpacing = "normal" },
            Body2 = new Body2Typography { FontFamily = s_sans, FontSize = "14px", LetterSpacing = "normal" },
            H6 = new H6Typography { FontFamily = s_sans, FontSize = "18px", FontWeight = "640", LetterSpacing = "-.01em" },
            Button = new ButtonTypography { FontFamily = s_sans, FontSize = "14px", FontWeight = "600", TextTransform = "none", LetterSpacing = "0" },
        },
    };
}
