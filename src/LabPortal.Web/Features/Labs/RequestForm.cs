using System.Globalization;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Operations.Labs;
using LabPortal.Web.Features.Leases;
using NodaTime;

namespace LabPortal.Web.Features.Labs;

/// <summary>What somebody is about to ask for, as the form holds it. Nothing is judged here but whether it can be read: the quote says what is wrong.</summary>
public sealed class RequestForm
{
    private readonly HashSet<string> _required;

    public RequestForm(Blueprint blueprint, string team)
    {
        Blueprint = blueprint.Name;
        Team = team;
        Hours = (decimal)Math.Round(blueprint.Lease.Default.TotalHours, 2);
        _required = [.. blueprint.Parameters.Where(parameter => parameter.Required).Select(parameter => parameter.Name)];
        foreach (var parameter in blueprint.Parameters) Parameters[parameter.Name] = parameter.Default ?? (parameter.Type == ParameterType.Boolean ? "false" : "");
    }

    public string Blueprint { get; }
    public string Team { get; set; }
    public string? Name { get; set; }
    public decimal? Hours { get; set; }

    /// <summary>Set where the lease ends at an instant; then <see cref="Hours"/> does not count.</summary>
    public string? Until { get; set; }
    public string? Start { get; set; }
    public string? Pool { get; set; }
    public Dictionary<string, string> Parameters { get; } = [];

    /// <summary>Refused where a time is none: left out, it would mean a start now, or the lease that the blueprint has.</summary>
    public Outcome<LabRequest> ToRequest(DateTimeZone zone)
    {
        var (start, until) = (WallClock.Read(Start, zone), WallClock.Read(Until, zone));
        var errors = new List<FieldError>();
        if (Start is not null && start is null) errors.Add(new FieldError("start", WallClock.Misread));
        if (Until is not null && until is null) errors.Add(new FieldError("lease.until", WallClock.Misread));
        return errors.Count > 0 ? Refusal.Invalid(errors) : Read(start, until);
    }

    /// <summary>Takes an offer of a refusal: each of its fields goes where the form has it.</summary>
    public void Take(Offer offer, DateTimeZone zone)
    {
        if (OfferedLease.Of(offer) is { } lease) (Hours, Until) = lease.Until is { } until ? (Hours, WallClock.Write(until, zone)) : (lease.Hours, null);
        foreach (var (field, value) in offer.Change)
        {
            switch (field)
            {
                case "team": Team = value?.ToString() ?? Team; break;
                case "name": Name = value?.ToString(); break;
                case "pool": Pool = value?.ToString(); break;
                case "start": Start = value is null ? null : OfferedLease.Instant(value) is { } start ? WallClock.Write(start, zone) : Start; break;
                case "parameters" when value is IEnumerable<KeyValuePair<string, string>> parameters:
                    foreach (var (name, text) in parameters) Parameters[name] = text;
                    break;
                case var _ when field.StartsWith("parameters.", StringComparison.Ordinal):
                    Parameters[field["parameters.".Length..]] = Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";
                    break;
            }
        }
    }

    private LabRequest Read(Instant? start, Instant? until) => new()
    {
        Blueprint = Blueprint,
        Team = Team,
        Name = Some(Name),
        Pool = Some(Pool),
        // A field that has to be filled in and is empty was not filled in; where the blueprint has a default, empty is a value like any other.
        Parameters = Parameters.Where(parameter => parameter.Value.Length > 0 || !_required.Contains(parameter.Key)).ToDictionary(parameter => parameter.Key, parameter => parameter.Value),
        Lease = until is null ? new LeaseRequest(Hours: Hours) : new LeaseRequest(Until: until),
        Start = start,
    };

    private static string? Some(string? text) => string.IsNullOrWhiteSpace(text) ? null : text.Trim();
}
