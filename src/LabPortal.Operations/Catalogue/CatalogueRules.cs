using System.Text.RegularExpressions;
using NodaTime;

namespace LabPortal.Operations.Catalogue;

/// <summary>What names of catalogue entries, pools, teams and machines may look like.</summary>
internal static partial class CatalogueRules
{
    /// <summary>Lower case, digits, and dots, underscores or hyphens inside; 63 at most: it stands in addresses, file names and <c>Kind/name</c>.</summary>
    public static bool IsName(string name) => NameForm().IsMatch(name);

    /// <summary>A label of RFC 1123: a machine's name becomes a host name.</summary>
    public static bool IsHostName(string name) => HostNameForm().IsMatch(name);

    public static bool IsZone(string zone) => DateTimeZoneProviders.Tzdb.GetZoneOrNull(zone) is not null;

    [GeneratedRegex(@"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?\z", RegexOptions.CultureInvariant)]
    private static partial Regex NameForm();

    [GeneratedRegex(@"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\z", RegexOptions.CultureInvariant)]
    private static partial Regex HostNameForm();
}
