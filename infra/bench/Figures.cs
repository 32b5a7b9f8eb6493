using System.Globalization;

namespace LabPortal.Bench;

internal static class Figures
{
    public static double Median(IReadOnlyCollection<double> values) => At(values, 0.5);

    /// <summary>The least of them that so large a part of them does not pass.</summary>
    public static double At(IReadOnlyCollection<double> values, double part) => values.Order().ElementAt((int)Math.Ceiling(values.Count * part) - 1);

    public static string Each(IEnumerable<double> values) => string.Join(", ", values.Select(value => value.ToString("F2", CultureInfo.InvariantCulture)));
}
