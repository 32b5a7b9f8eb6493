using System.Diagnostics;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json.Nodes;
using LabPortal.Data;
using LabPortal.Data.Audit;
using LabPortal.Domain;
using LabPortal.Domain.Audit;
using LabPortal.Domain.Consoles;
using LabPortal.Domain.Labs;
using LabPortal.Domain.People;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.Consoles;
using LabPortal.Operations.Labs;
using LabPortal.Operations.People;
using LabPortal.Testing;
using LabPortal.Web.Hosting;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.TestHost;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

[assembly: AssemblyFixture(typeof(TestDatabases))]

namespace LabPortal.Web.Tests.Hosting;

/// <summary>Ways into machines, as a browser and a program use them: the whole portal on the simulated pool, on both databases.</summary>
public sealed class ConsoleTests(TestDatabases databases)
{
    private const string Machine = "one";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(Engine.Sqlite)]
    [InlineData(Engine.Postgres)]
    public async Task A_way_in_counts_once_for_its_person_session_and_site_and_every_other_use_is_refused_and_audited(Engine engine)
    {
        await using var portal = await Portal.StartAsync(await databases.CreateSettingAsync(engine));
        var (ada, bob) = (portal.Ada, portal.Bob);

        var once = await portal.AskAsync(ada);
        // That it counts for 30 s is seen below; a busy machine may take longer for what comes before it is used.
        await portal.Services.GetRequiredService<Database>().WriteAsync(session => session.ExecuteAsync("UPDATE console_tokens SET expires_at = expires_at + 600000000"), Cancellation);
        Assert.Equal("console.token-of-another", await portal.RefusedAsync(once, bob));
        Assert.Equal("console.other-session", await portal.RefusedAsync(once, ada with { Session = "another browser" }));
        Assert.Equal("console.other-session", await portal.RefusedAsync(once, ada with { Token = ada.Token, Session = null }));
        Assert.Equal("console.other-origin", await portal.RefusedAsync(once, ada with { Origin = "http://evil.example" }));
        Assert.Equal("console.other-origin", await portal.RefusedAsync(once, ada with { Origin = null }));
        Assert.Equal("console.token-unknown", await portal.RefusedAsync(once + "x", ada));
        Assert.Equal("actor.unknown", await portal.RefusedAsync(once, ada with { Token = null, Session = null }));

        // Of many at the same moment one comes in.
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => portal.TryAsync(once, ada)));
        using (var socket = Assert.Single(outcomes, outcome => outcome.Socket is not null).Socket!)
        {
            Assert.All(outcomes.Where(outcome => outcome.Socket is null), outcome => Assert.Equal("console.token-used", outcome.Code));
            await TypeAsync(socket, "echo in-and-out\r");
            Assert.Contains("in-and-out\r\n", await ReadUntilAsync(socket, text => text.Contains("in-and-out\r\none# ", StringComparison.Ordinal)), StringComparison.Ordinal);
            await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, Cancellation);
        }

        var late = await portal.AskAsync(ada);
        await portal.Services.GetRequiredService<Database>().WriteAsync(session => session.ExecuteAsync("UPDATE console_tokens SET expires_at = expires_at - 30000000 WHERE used_at IS NULL"), Cancellation);
        Assert.Equal("console.token-late", await portal.RefusedAsync(late, ada));

        // A program's token needs no origin, and its way in is of no use to the same person's browser.
        var program = await portal.AskAsync(ada with { Session = null });
        Assert.Equal("console.other-session", await portal.RefusedAsync(program, ada));
        var (programs, code) = await portal.TryAsync(program, ada with { Session = null, Origin = null });
        Assert.True(programs is not null, code);
        programs.Dispose();

        var lines = await portal.AuditAsync();
        Assert.Equal(
            ["console.other-origin", "console.other-session", "console.token-late", "console.token-of-another", "console.token-unknown", "console.token-used"],
            lines.Where(line => line.Verb == "begin-console" && line.Outcome != AuditStore.Done).Select(line => line.Outcome).Distinct().Order(StringComparer.Ordinal));
        Assert.Equal(7, lines.Count(line => line.Outcome == "console.token-used"));
        Assert.Equal(2, lines.Count(line => line.Verb == "begin-console" && line.Outcome == AuditStore.Done));
        Assert.Equal("Bob", Assert.Single(lines, line => line.Outcome == "console.token-of-another").Actor);
        var left = await portal.LeftAsync(ConsoleEnd.Left);
        Assert.Equal(("16", Machine, "serial"), (left.Details["typed"], left.Details["machine"], left.Details["kind"]));
        var stored = await portal.Services.GetRequiredService<Database>().ReadAsync(session => session.QueryAsync<string>("SELECT token_hash FROM console_tokens"), Cancellation);
        Assert.All(stored, hash => Assert.DoesNotContain(hash, (string[])[once, late, program]));
    }

    [Fact]
    public async Task Who_may_not_only_watches_and_who_may_no_longer_is_put_out()
    {
        await using var portal = await Portal.StartAsync(await databases.CreateSettingAsync(Engine.Sqlite));
        Assert.Equal("actor.may-not", (await portal.OpenAsync(portal.Bob, ConsoleKind.Ssh)).Refusal!.Code);
        Assert.Equal("console.not-here", (await portal.OpenAsync(portal.Ada, ConsoleKind.Terminal)).Refusal!.Code);

        // A teammate sees what is typed, and whatever they do types nothing, also where nobody else is.
        var (watching, why) = await portal.TryAsync(await portal.AskAsync(portal.Bob), portal.Bob);
        Assert.True(watching is not null, why);
        using (watching)
        {
            Assert.Contains("\"mayType\":false,\"types\":null", await ReadUntilAsync(watching, text => text.Contains("\"live\":true", StringComparison.Ordinal)), StringComparison.Ordinal);
            await SayAsync(watching, "type");
            await TypeAsync(watching, "echo from-bob\r");
            using var ada = (await portal.TryAsync(await portal.AskAsync(portal.Ada), portal.Ada)).Socket!;
            await TypeAsync(ada, "echo from-ada\r");
            Assert.DoesNotContain("from-bob", await ReadUntilAsync(watching, text => text.Contains("from-ada\r\none# ", StringComparison.Ordinal)), StringComparison.Ordinal);
        }

        await portal.ManageAsync(portal.Bob, TeamRole.Manager);
        var (socket, code) = await portal.TryAsync(await portal.AskAsync(portal.Bob), portal.Bob);
        Assert.True(socket is not null, code);
        using (socket)
        {
            await ReadUntilAsync(socket, text => text.Contains("login:", StringComparison.Ordinal));
            await portal.ManageAsync(portal.Bob, TeamRole.Requester);
            Assert.Equal((WebSocketCloseStatus.PolicyViolation, "actor.may-not"), await ReadToCloseAsync(socket));
        }

        // Who changes their password puts out whoever else used it.
        using var stolen = (await portal.TryAsync(await portal.AskAsync(portal.Ada), portal.Ada)).Socket!;
        await ReadUntilAsync(stolen, text => text.Contains("login:", StringComparison.Ordinal));
        await portal.ChangePasswordAsync(portal.Ada);
        Assert.Equal((WebSocketCloseStatus.PolicyViolation, "actor.may-not"), await ReadToCloseAsync(stolen));
    }

    [Fact]
    public async Task Who_does_nothing_is_put_out()
    {
        await using var portal = await Portal.StartAsync(await databases.CreateSettingAsync(Engine.Sqlite), idle: TimeSpan.FromSeconds(1));
        var (idle, _) = await portal.TryAsync(await portal.AskAsync(portal.Ada), portal.Ada);
        using (idle) Assert.Equal((WebSocketCloseStatus.PolicyViolation, ConsoleEnd.Idle), await ReadToCloseAsync(idle!));
        Assert.Equal("Ada", (await portal.LeftAsync(ConsoleEnd.Idle)).Actor);

        // Whoever only looks does nothing, however often their viewer asks for the picture.
        await using var screen = await ScreenViewer.OpenAsync((await portal.TryAsync(await portal.AskAsync(portal.Ada, ConsoleKind.Vnc), portal.Ada)).Socket!, Cancellation);
        var ended = await Assert.ThrowsAsync<EndOfStreamException>(async () =>
        {
            while (true) await screen.LookAsync(Cancellation);
        });
        Assert.Contains(ConsoleEnd.Idle, ended.Message, StringComparison.Ordinal);
        await portal.LeftAsync(ConsoleEnd.Idle, ofThem: 2);
        Assert.Equal(["serial", "vnc"], (await portal.AuditAsync()).Where(line => line.Verb == "end-console").Select(line => line.Details["kind"]).Order());
    }

    [Fact]
    public async Task Who_is_refused_at_the_door_hears_why()
    {
        await using var portal = await Portal.StartAsync(await databases.CreateSettingAsync(Engine.Sqlite), perPerson: 1, listens: true);
        using var open = (await portal.TryAsync(await portal.AskAsync(portal.Ada), portal.Ada)).Socket!;
        for (var round = 0; round < 20; round++)
        {
            using var refused = (await portal.TryAsync(await portal.AskAsync(portal.Ada), portal.Ada)).Socket!;
            // What they send before they hear it is lost on nobody.
            await TypeAsync(refused, "echo too early\r");
            Assert.Equal((WebSocketCloseStatus.PolicyViolation, ConsoleEnd.TooMany), await ReadToCloseAsync(refused));
        }

        Assert.Equal("0", (await portal.LeftAsync(ConsoleEnd.TooMany, ofThem: 20)).Details["typed"]);
    }

    [Fact]
    public async Task A_lab_whose_pool_fails_is_told_without_the_ways_into_its_machines()
    {
        await using var portal = await Portal.StartAsync(await databases.CreateSettingAsync(Engine.Sqlite));
        Assert.Contains("serial", (await ConsolesAsync())!.AsArray().Select(kind => (string)kind!));
        await portal.Services.GetRequiredService<Database>().WriteAsync(session => session.ExecuteAsync("UPDATE pools SET provider = 'unknown', version = version + 1"), Cancellation);
        Assert.Null(await ConsolesAsync());

        async Task<JsonNode?> ConsolesAsync()
        {
            using var client = portal.CreateClient();
            client.DefaultRequestHeaders.Authorization = new("Bearer", portal.Ada.Token);
            return JsonNode.Parse(await client.GetStringAsync($"/api/v1/labs/{portal.Lab}", Cancellation))!["machines"]![0]!["consoles"];
        }
    }

    [Fact]
    public async Task Two_watch_one_types_and_the_machines_end_closes_both()
    {
        await using var portal = await Portal.StartAsync(await databases.CreateSettingAsync(Engine.Sqlite));
        await portal.ManageAsync(portal.Bob, TeamRole.Manager);
        using var ada = (await portal.TryAsync(await portal.AskAsync(portal.Ada), portal.Ada)).Socket!;
        var before = await ReadUntilAsync(ada, text => text.Contains("\"live\":true", StringComparison.Ordinal));
        Assert.Contains("Linux version", before, StringComparison.Ordinal);
        using var bob = (await portal.TryAsync(await portal.AskAsync(portal.Bob), portal.Bob)).Socket!;
        await ReadUntilAsync(ada, text => text.Contains("\"name\":\"Bob\"", StringComparison.Ordinal));

        await TypeAsync(bob, "echo from-bob\r");
        await TypeAsync(ada, "echo from-ada\r");
        var seen = await ReadUntilAsync(bob, text => text.Contains("from-ada\r\none# ", StringComparison.Ordinal));
        Assert.DoesNotContain("from-bob", seen, StringComparison.Ordinal);
        await SayAsync(bob, "type");
        await ReadUntilAsync(ada, text => text.Contains("\"asks\":2", StringComparison.Ordinal));
        await SayAsync(ada, "give");
        await ReadUntilAsync(bob, text => text.Contains("\"types\":2", StringComparison.Ordinal));
        await TypeAsync(bob, "echo from-bob\r");
        await ReadUntilAsync(ada, text => text.Contains("from-bob\r\none# ", StringComparison.Ordinal));

        await portal.EndAsync();
        // The line ends, or the machine was seen to stop before.
        foreach (var socket in (WebSocket[])[ada, bob]) Assert.Contains((await ReadToCloseAsync(socket)).Why, (string[])[ConsoleEnd.Ended, "console.not-running"]);
    }

    [Fact]
    public async Task A_screen_is_seen_by_two_and_keys_count_for_one_however_many_consoles_the_other_opens()
    {
        await using var portal = await Portal.StartAsync(await databases.CreateSettingAsync(Engine.Sqlite), perPerson: 2);
        await portal.ManageAsync(portal.Bob, TeamRole.Manager);
        await using var ada = await ScreenViewer.OpenAsync((await portal.TryAsync(await portal.AskAsync(portal.Ada, ConsoleKind.Vnc), portal.Ada)).Socket!, Cancellation);
        await using var bob = await ScreenViewer.OpenAsync((await portal.TryAsync(await portal.AskAsync(portal.Bob, ConsoleKind.Vnc), portal.Bob)).Socket!, Cancellation);
        var empty = await bob.LookAsync(Cancellation);
        Assert.True(empty.Distinct().Skip(1).Any());

        // Keys and power of who does not type go nowhere: the clipboard of nobody does.
        await bob.TypeAsync('b', Cancellation);
        Assert.Equal(empty, await bob.LookAsync(Cancellation));
        await ada.PasteAsync(new string('p', 100_000), Cancellation);
        await ada.TypeAsync('a', Cancellation);
        var typed = await ada.LookAsync(Cancellation);
        Assert.NotEqual(empty, typed);
        Assert.Equal(typed, await bob.LookAsync(Cancellation));
        await SayAsync(bob.Socket, "type");
        await ada.UntilToldAsync("\"asks\":2", Cancellation);
        await SayAsync(ada.Socket, "give");
        await bob.UntilToldAsync("\"types\":2", Cancellation);
        await bob.TypeAsync('b', Cancellation);
        Assert.NotEqual(typed, await bob.LookAsync(Cancellation));

        using var second = (await portal.TryAsync(await portal.AskAsync(portal.Bob), portal.Bob)).Socket!;
        await ReadUntilAsync(second, text => text.Contains("\"live\":true", StringComparison.Ordinal));
        using var third = (await portal.TryAsync(await portal.AskAsync(portal.Bob), portal.Bob)).Socket!;
        Assert.Equal((WebSocketCloseStatus.PolicyViolation, ConsoleEnd.TooMany), await ReadToCloseAsync(third));

        // What is no message of a viewer ends it.
        await ada.Socket.SendAsync(new byte[] { 250, 0, 1, 2 }, WebSocketMessageType.Binary, endOfMessage: true, Cancellation);
        Assert.Equal((WebSocketCloseStatus.PolicyViolation, ConsoleEnd.Nonsense), await ReadToCloseAsync(ada.Socket));
        Assert.Equal("vnc", (await portal.LeftAsync(ConsoleEnd.Nonsense)).Details["kind"]);
    }

    [Fact]
    public async Task Viewers_at_two_nodes_are_in_one_room_where_one_types()
    {
        await using var first = await Portal.StartAsync(await databases.CreateSettingAsync(Engine.Postgres), listens: true);
        await first.ManageAsync(first.Bob, TeamRole.Manager);
        await using var second = first.Beside();
        using var ada = (await first.TryAsync(await first.AskAsync(first.Ada), first.Ada)).Socket!;
        await ReadUntilAsync(ada, text => text.Contains("\"live\":true", StringComparison.Ordinal));

        // Asked for and used at the other node: everything is asked where the room is, and refused there.
        Assert.Equal("console.other-origin", await second.RefusedAsync(await second.AskAsync(second.Bob), second.Bob with { Origin = "http://evil.example" }));
        var way = await second.AskAsync(second.Bob);
        Assert.Equal("console.token-of-another", await second.RefusedAsync(way, second.Ada));
        var (bob, code) = await second.TryAsync(way, second.Bob);
        Assert.True(bob is not null, code);
        using var bobs = bob;
        Assert.Equal("console.token-used", await second.RefusedAsync(way, second.Bob));
        await ReadUntilAsync(bob, text => text.Contains("\"name\":\"Ada\"", StringComparison.Ordinal));
        await ReadUntilAsync(ada, text => text.Contains("\"name\":\"Bob\"", StringComparison.Ordinal));

        await TypeAsync(bob, "echo from-bob\r");
        await TypeAsync(ada, "echo from-ada\r");
        Assert.DoesNotContain("from-bob", await ReadUntilAsync(bob, text => text.Contains("from-ada\r\none# ", StringComparison.Ordinal)), StringComparison.Ordinal);
        await SayAsync(bob, "type");
        await ReadUntilAsync(ada, text => text.Contains("\"asks\":2", StringComparison.Ordinal));
        await SayAsync(ada, "give");
        await ReadUntilAsync(bob, text => text.Contains("\"types\":2", StringComparison.Ordinal));
        await TypeAsync(bob, "echo now-bob\r");
        await ReadUntilAsync(ada, text => text.Contains("now-bob\r\none# ", StringComparison.Ordinal));

        // The room ends with its last viewer: then it is whose is asked first.
        await bob.CloseAsync(WebSocketCloseStatus.NormalClosure, null, Cancellation);
        await ada.CloseAsync(WebSocketCloseStatus.NormalClosure, null, Cancellation);
        await first.LeftAsync(ConsoleEnd.Left, ofThem: 2);
        using var again = (await second.TryAsync(await second.AskAsync(second.Bob), second.Bob)).Socket!;
        await ReadUntilAsync(again, text => text.Contains("\"types\":1", StringComparison.Ordinal));

        // What is forgotten of an address is forgotten of one worker: who was started there again keeps its rooms.
        var (rooms, token) = (first.Services.GetRequiredService<ConsoleRooms>(), await first.AskAsync(first.Bob));
        var there = (await rooms.ElsewhereAsync(token, Cancellation))!;
        await rooms.ForgetAsync(there with { Worker = "the one before" }, Cancellation);
        Assert.Equal(there, await rooms.ElsewhereAsync(token, Cancellation));
        await rooms.ForgetAsync(there, Cancellation);
        Assert.Null(await rooms.ElsewhereAsync(token, Cancellation));
    }

    private static Task SayAsync(WebSocket socket, string what) => socket.SendAsync(Encoding.UTF8.GetBytes($"{{\"do\":\"{what}\"}}"), WebSocketMessageType.Text, endOfMessage: true, Cancellation);

    private static Task TypeAsync(WebSocket socket, string text) => socket.SendAsync(Encoding.UTF8.GetBytes(text), WebSocketMessageType.Binary, endOfMessage: true, Cancellation);

    private static async Task<string> ReadUntilAsync(WebSocket socket, Predicate<string> enough)
    {
        var text = new StringBuilder();
        var portion = new byte[4096];
        while (!enough(text.ToString()))
        {
            var part = await socket.ReceiveAsync(portion, Cancellation);
            Assert.True(part.MessageType != WebSocketMessageType.Close, $"It was closed ({part.CloseStatusDescription}) after: {text}");
            text.Append(Encoding.UTF8.GetString(portion, 0, part.Count));
        }

        return text.ToString();
    }

    private static async Task<(WebSocketCloseStatus? Status, string? Why)> ReadToCloseAsync(WebSocket socket)
    {
        var portion = new byte[4096];
        while (true)
        {
            var part = await socket.ReceiveAsync(portion, Cancellation);
            if (part.MessageType == WebSocketMessageType.Close) return (part.CloseStatus, part.CloseStatusDescription);
        }
    }

    /// <summary>A caller: by a browser's cookie where there is a session, else by an API token.</summary>
    private sealed record Somebody(SignedIn Person, string? Token, string? Session = "browser", string? Origin = "http://localhost");

    private sealed class Portal : TestPortal
    {
        private const string Catalogue = """
            kind: Pool
            name: pretend
            provider: simulated
            ---
            kind: Image
            name: tiny
            bindings: { simulated: {} }
            ---
            kind: Blueprint
            name: solo
            title: One
            machines: [{ name: one, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }]
            lease: { default: 4h, max: 72h, grace: 0 }
            """;

        private readonly string _database;
        private readonly (TimeSpan Idle, int PerPerson) _settings;

        private readonly Portal? _other;

        private Portal(string database, (TimeSpan Idle, int PerPerson) settings, bool listens, Portal? other = null)
        {
            (_database, _settings, _other) = (database, settings, other);
            if (!listens) return;
            UseKestrel(0);
            StartServer();
            Address = ClientOptions.BaseAddress;
        }

        /// <summary>Where it really listens; most only pretend to.</summary>
        private Uri Address { get; } = new("http://localhost");

        public Somebody Ada { get; private set; } = null!;

        public Somebody Bob { get; private set; } = null!;

        public LabId Lab { get; private set; }

        /// <summary>Another node on the same database and keys.</summary>
        public Portal Beside() => new(_database, _settings, listens: true, this) { Ada = Ada, Bob = Bob, Lab = Lab };

        public static async Task<Portal> StartAsync(string database, TimeSpan? idle = null, int perPerson = 20, bool listens = false)
        {
            var portal = new Portal(database, (idle ?? TimeSpan.FromMinutes(30), perPerson), listens);
            var admin = Actor.Portal("test");
            var applied = await portal.Services.GetRequiredService<CatalogueCalls>().ApplyAsync(admin, Catalogue, dryRun: false, prune: false, Cancellation);
            Assert.True(applied.Ok, string.Join(' ', applied.Refusal?.Errors ?? []));
            Assert.True((await portal.Services.GetRequiredService<PeopleCalls>().CreateTeamAsync(admin, "qa", "Europe/Berlin", Cancellation)).Ok);
            portal.Ada = await portal.JoinAsync("ada@example.org", "Ada");
            portal.Bob = await portal.JoinAsync("bob@example.org", "Bob");
            var labs = portal.Services.GetRequiredService<LabCalls>();
            var actor = await portal.ActorAsync(portal.Ada);
            portal.Lab = (await labs.RequestAsync(actor, new LabRequest { Blueprint = "solo", Team = "qa" }, null, Cancellation)).Value.Id;
            await portal.UntilAsync(LabState.Ready);
            return portal;
        }

        public async Task EndAsync() => await Services.GetRequiredService<LabCalls>().AskAsync(await ActorAsync(Ada), Lab, LabVerb.End, Cancellation);

        public async Task<Outcome<ConsoleTicket>> OpenAsync(Somebody who, ConsoleKind kind = ConsoleKind.Serial)
            => await Services.GetRequiredService<ConsoleCalls>().AskAsync(await ActorAsync(who), Lab, Machine, kind, Cancellation);

        /// <summary>A token, as a page gets it from its circuit and a program by the API.</summary>
        public async Task<string> AskAsync(Somebody who, ConsoleKind kind = ConsoleKind.Serial)
        {
            if (who.Session is not null) return (await OpenAsync(who, kind)).Value.Token;
            using var client = CreateClient();
            client.DefaultRequestHeaders.Authorization = new("Bearer", who.Token);
            using var answer = await client.PostAsync($"/api/v1/labs/{Lab}/machines/{Machine}/console", new StringContent("""{"kind":"serial"}"""), Cancellation);
            var body = JsonNode.Parse(await answer.Content.ReadAsStringAsync(Cancellation))!;
            var address = new Uri((string)body["address"]!);
            Assert.Equal(("ws", "/consoles"), (address.Scheme, address.AbsolutePath));
            return address.Query["?token=".Length..];
        }

        public async Task<string?> RefusedAsync(string token, Somebody who)
        {
            var (socket, code) = await TryAsync(token, who);
            socket?.Dispose();
            return code;
        }

        public async Task<(WebSocket? Socket, string? Code)> TryAsync(string token, Somebody who)
        {
            if (Address.Host != "localhost" || Address.Port != 80) return await DialAsync(token, who);
            var refusals = (await RefusalsAsync(who)).Count;
            var client = Server.CreateWebSocketClient();
            client.ConfigureRequest = request =>
            {
                if (who.Session is { } session) request.Headers.Cookie = $"labportal={Cookie(who.Person, session)}";
                else if (who.Token is { } bearer) request.Headers.Authorization = $"Bearer {bearer}";
                if (who.Origin is { } origin) request.Headers.Origin = origin;
            };
            try
            {
                return (await client.ConnectAsync(new Uri($"ws://localhost/consoles?token={token}"), Cancellation), null);
            }
            catch (InvalidOperationException)
            {
                // The client tells no more than the status: asked again without a socket, where nothing can be used up, or read from the audit.
                return (null, await WhyAsync(who, refusals));
            }
        }

        /// <summary>The same by a socket of the network.</summary>
        private async Task<(WebSocket? Socket, string? Code)> DialAsync(string token, Somebody who)
        {
            var refusals = (await RefusalsAsync(who)).Count;
            var client = new ClientWebSocket();
            client.Options.SetRequestHeader("Cookie", $"labportal={Cookie(who.Person, who.Session!)}");
            client.Options.SetRequestHeader("Origin", who.Origin == "http://localhost" ? Address.GetLeftPart(UriPartial.Authority) : who.Origin);
            try
            {
                await client.ConnectAsync(new Uri($"ws{Address.GetLeftPart(UriPartial.Authority)["http".Length..]}/consoles?token={token}"), Cancellation);
                return (client, null);
            }
            catch (WebSocketException)
            {
                client.Dispose();
                return (null, await WhyAsync(who, refusals));
            }
        }

        public async Task ManageAsync(Somebody who, TeamRole role) => Assert.True(
            (await Services.GetRequiredService<PeopleCalls>().SetMemberAsync(Actor.Portal("test"), "qa", who.Person.Person, role, Cancellation)).Ok);

        public async Task ChangePasswordAsync(Somebody who) => Assert.True(
            (await Services.GetRequiredService<PeopleCalls>().ChangePasswordAsync(await ActorAsync(who), "a long good sentence", "another long sentence", Cancellation)).Ok);

        public Task<IReadOnlyList<AuditRow>> AuditAsync() => Services.GetRequiredService<Database>().ReadAsync(session => AuditStore.ListAsync(session, new AuditFilter(), 500, null), Cancellation);

        /// <summary>What is written once a console is over: it stands there soon.</summary>
        public async Task<AuditRow> LeftAsync(string why, int ofThem = 1)
        {
            for (var since = Stopwatch.GetTimestamp(); ; await Task.Delay(50, Cancellation))
            {
                var lines = await AuditAsync();
                if (lines.Where(line => line.Verb == "end-console" && line.Details["why"] == why).Skip(ofThem - 1).FirstOrDefault() is { } found) return found;
                Assert.True(Stopwatch.GetElapsedTime(since) < TimeSpan.FromMinutes(5), string.Join('\n', lines.Select(line => $"{line.At} {line.Actor} {line.Verb} {line.Outcome} {line.Detail}")));
            }
        }

        protected override void ConfigureWebHost(IWebHostBuilder builder)
        {
            base.ConfigureWebHost(builder);
            builder.UseSetting("LabPortal:Database", _database);
            if (_other is not null) builder.UseSetting("LabPortal:DataFolder", _other.Services.GetRequiredService<PortalSettings>().DataFolder);
            builder.UseSetting("LabPortal:Consoles:IdleMinutes", _settings.Idle.TotalMinutes.ToString(System.Globalization.CultureInfo.InvariantCulture));
            builder.UseSetting("LabPortal:Consoles:PerPerson", _settings.PerPerson.ToString(System.Globalization.CultureInfo.InvariantCulture));
            builder.ConfigureTestServices(services => services.AddSingleton(new ConsoleWatch(TimeSpan.FromMilliseconds(200))));
        }

        private async Task<string?> WhyAsync(Somebody who, int before)
        {
            if (who is { Session: null, Token: null }) return "actor.unknown";
            var refusals = await RefusalsAsync(who);
            Assert.True(refusals.Count > before, "Nothing was audited.");
            return refusals[0].Outcome;
        }

        private async Task<List<AuditRow>> RefusalsAsync(Somebody who)
            => [.. (await AuditAsync()).Where(line => line.Verb == "begin-console" && line.Actor == who.Person.Name && line.Outcome != AuditStore.Done)];

        private async Task<Somebody> JoinAsync(string email, string name)
        {
            var people = Services.GetRequiredService<PeopleCalls>();
            var link = (await people.InviteAsync(Actor.Portal("test"), email, name, "qa", TeamRole.Requester, false, false, Cancellation)).Value;
            var person = (await people.UseLinkAsync(link.Token, name, null, "a long good sentence", null, Cancellation)).Value;
            var token = await people.AddTokenAsync(await ActorAsync(new Somebody(person, null)), "program", 1, Cancellation);
            return new Somebody(person, token.Value.Text);
        }

        private async Task<Actor> ActorAsync(Somebody who)
            => (await Services.GetRequiredService<PeopleCalls>().ActorOfAsync(who.Person.Person, who.Person.Stamp, null, null, Cancellation))! with { Session = who.Session };

        private string Cookie(SignedIn person, string session)
        {
            var cookies = Services.GetRequiredService<IOptionsMonitor<CookieAuthenticationOptions>>().Get(Callers.CookieScheme);
            return cookies.TicketDataFormat.Protect(new AuthenticationTicket(Callers.Principal(person, session), Callers.CookieScheme));
        }

        private async Task UntilAsync(LabState state)
        {
            var labs = Services.GetRequiredService<LabCalls>();
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
            limit.CancelAfter(TimeSpan.FromMinutes(5));
            while ((await labs.FindAsync(await ActorAsync(Ada), Lab, limit.Token)).Value.State != state) await Task.Delay(100, limit.Token);
        }
    }
}
