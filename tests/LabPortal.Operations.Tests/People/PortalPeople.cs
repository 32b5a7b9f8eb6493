using LabPortal.Data;
using LabPortal.Domain.People;
using LabPortal.Operations.Audit;
using LabPortal.Operations.People;
using LabPortal.Operations.Settings;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.People;

/// <summary>A database with people calls on it, and its first admin.</summary>
internal sealed class PortalPeople : IAsyncDisposable
{
    public const string Password = "a long good sentence";
    public const string BootstrapToken = "bootstrap-token-of-the-tests";

    private PortalPeople(Database database)
    {
        Database = database;
        Calls = new PeopleCalls(database, Time, new Bootstrap(BootstrapToken), Settings);
        Audit = new AuditCalls(database, Time);
    }

    public Database Database { get; }

    public SetTime Time { get; } = new();

    public LiveSettings Settings { get; } = new([]);

    public PeopleCalls Calls { get; }

    public AuditCalls Audit { get; }

    public Actor Admin { get; private set; } = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static async Task<PortalPeople> CreateAsync(TestDatabases databases, Engine engine)
    {
        var people = new PortalPeople(await databases.CreateAsync(engine));
        var link = await people.Calls.MakeSetupLinkAsync(Cancellation);
        var signedIn = (await people.Calls.UseLinkAsync(link!.Token, "Root", " Root@Example.org ", Password, "127.0.0.1", Cancellation)).Value;
        people.Admin = (await people.Calls.ActorOfAsync(signedIn.Person, signedIn.Stamp, null, null, Cancellation))!;
        return people;
    }

    /// <summary>Somebody who was invited and came.</summary>
    public async Task<SignedIn> JoinAsync(string email, string? team = null, TeamRole? role = null)
    {
        var link = (await Calls.InviteAsync(Admin, email, null, team, role, false, false, Cancellation)).Value;
        return (await Calls.UseLinkAsync(link.Token, "Ada", null, Password, null, Cancellation)).Value;
    }

    public async Task<Actor> ActorAsync(SignedIn signedIn) => (await Calls.ActorOfAsync(signedIn.Person, signedIn.Stamp, "192.0.2.7", "r1", Cancellation))!;

    public ValueTask DisposeAsync() => Database.DisposeAsync();
}
