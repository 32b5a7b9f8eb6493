namespace LabPortal.Web.Features.Consoles;

/// <summary>Who is at a console, as its socket says it: you, who types and who asks to by their numbers.</summary>
public sealed record ConsoleRoomNote(int You, bool MayType, int? Types, int? Asks, bool Kept, bool Skipped, IReadOnlyList<ConsoleRoomNote.Person> People)
{
    public bool YouType => Types == You;

    public bool YouAsk => Asks == You;

    public string NameOf(int? number) => People.FirstOrDefault(person => person.Number == number)?.Name ?? "";

    public sealed record Person(int Number, string Name);
}
