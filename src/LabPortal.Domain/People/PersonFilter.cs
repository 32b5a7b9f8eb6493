namespace LabPortal.Domain.People;

/// <summary>Which people a list shows; what is empty does not narrow it.</summary>
public sealed record PersonFilter
{
    /// <summary>Part of the name or of the e-mail address.</summary>
    public string? Text { get; init; }

    /// <summary>Who could be put into this team: whoever is let in, and is not there already.</summary>
    public TeamId? CouldJoin { get; init; }
}
