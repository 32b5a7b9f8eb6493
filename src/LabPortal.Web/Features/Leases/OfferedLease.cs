using System.Globalization;
using LabPortal.Domain;
using LabPortal.Operations.Labs;
using NodaTime;
using NodaTime.Text;

namespace LabPortal.Web.Features.Leases;

/// <summary>The lease that an offer proposes, if it proposes one.</summary>
internal static class OfferedLease
{
    public static LeaseRequest? Of(Offer offer) => offer.Change switch
    {
        var change when change.TryGetValue("lease", out var lease) => Whole(lease),
        var change when change.TryGetValue("lease.hours", out var hours) && hours is not null => new LeaseRequest(Hours: Number(hours)),
        var change when change.TryGetValue("lease.until", out var until) && until is not null => new LeaseRequest(Until: Instant(until)),
        // An offer for an extension names the time alone.
        var change when change.TryGetValue("until", out var until) && until is not null => new LeaseRequest(Until: Instant(until)),
        _ => null,
    };

    public static Instant? Instant(object value) => value switch
    {
        Instant instant => instant,
        string text => InstantPattern.ExtendedIso.Parse(text) is { Success: true, Value: var instant } ? instant : null,
        _ => null,
    };

    private static LeaseRequest? Whole(object? lease) => lease switch
    {
        LeaseRequest request => request,
        IReadOnlyDictionary<string, object?> parts when parts.TryGetValue("hours", out var hours) && hours is not null => new LeaseRequest(Hours: Number(hours)),
        IReadOnlyDictionary<string, object?> parts when parts.TryGetValue("until", out var until) && until is not null => new LeaseRequest(Until: Instant(until)),
        _ => null,
    };

    private static decimal Number(object value) => Convert.ToDecimal(value, CultureInfo.InvariantCulture);
}
