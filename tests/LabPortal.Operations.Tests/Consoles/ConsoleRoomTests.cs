using System.IO.Pipelines;
using System.Text;
using LabPortal.Domain;
using LabPortal.Operations.Consoles;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.Consoles;

public sealed class ConsoleRoomTests
{
    private readonly FakeTimeProvider _time = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_was_printed_before_and_what_is_printed_now_meet_without_gap_or_repeat()
    {
        await using var guest = new Guest();
        var room = Room(guest);
        // So that the room does not close behind those who only look.
        using var stays = room.Join(null, "Stays");
        await guest.PrintAsync("three four");
        await UntilAsync(async () => (await ShownAsync(room)).Contains("four", StringComparison.Ordinal));
        // The log was read a moment after the line was opened: it has some of the same.
        room.Recall(Encoding.UTF8.GetBytes("one two three fo"));
        await guest.PrintAsync(" five");
        await UntilAsync(async () => (await ShownAsync(room)).EndsWith("five", StringComparison.Ordinal));

        Assert.Equal("one two three four five", await ShownAsync(room));
    }

    [Fact]
    public async Task One_types_the_others_see_it_and_what_they_type_goes_nowhere()
    {
        await using var guest = new Guest();
        var room = Room(guest);
        using var ada = room.Join(new PersonId(Guid.NewGuid()), "Ada")!;
        using var bob = room.Join(new PersonId(Guid.NewGuid()), "Bob")!;

        await bob.TypeAsync("rm"u8.ToArray(), Cancellation);
        await ada.TypeAsync("ls"u8.ToArray(), Cancellation);
        Assert.Equal("ls", await guest.TypedAsync(2));
        await guest.PrintAsync("files");

        Assert.Equal("files", await SeesAsync(ada, 5));
        Assert.Equal("files", await SeesAsync(bob, 5));
        var seen = room.Tell(bob);
        Assert.Equal([new SeatedNote(1, "Ada"), new SeatedNote(2, "Bob")], seen.People);
        Assert.Equal((2, 1), (seen.You, seen.Types));
    }

    [Fact]
    public async Task Who_types_may_keep_or_give_the_keyboard_and_loses_it_without_an_answer()
    {
        await using var guest = new Guest();
        var room = Room(guest);
        var ada = room.Join(new PersonId(Guid.NewGuid()), "Ada")!;
        using var bob = room.Join(new PersonId(Guid.NewGuid()), "Bob")!;
        using var eve = room.Join(null, "Eve")!;

        bob.Take(new ConsoleNote("type"));
        Assert.Equal((1, 2), (room.Tell(ada).Types, room.Tell(ada).Asks));
        bob.Take(new ConsoleNote("give"));
        Assert.Equal(1, room.Tell(ada).Types);
        ada.Take(new ConsoleNote("keep"));
        Assert.Equal((1, null, true, false), (room.Tell(bob).Types, room.Tell(bob).Asks, room.Tell(bob).Kept, room.Tell(ada).Kept));

        bob.Take(new ConsoleNote("type"));
        ada.Take(new ConsoleNote("give"));
        Assert.Equal((2, null, false), (room.Tell(bob).Types, room.Tell(bob).Asks, room.Tell(bob).Kept));

        eve.Take(new ConsoleNote("type"));
        _time.Advance(ConsoleRoom.Answer - TimeSpan.FromSeconds(1));
        Assert.Equal(2, room.Tell(eve).Types);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal((3, null), (room.Tell(eve).Types, room.Tell(eve).Asks));

        // Whoever asks when the typist leaves has it; where nobody asks, nobody has it.
        ada.Take(new ConsoleNote("type"));
        eve.Dispose();
        Assert.Equal(1, room.Tell(ada).Types);
        ada.Dispose();
        Assert.Null(room.Tell(bob).Types);
        bob.Take(new ConsoleNote("type"));
        Assert.Equal(2, room.Tell(bob).Types);
    }

    [Fact]
    public async Task Somebody_elses_page_of_the_same_person_need_not_be_asked()
    {
        await using var guest = new Guest();
        var room = Room(guest);
        var person = new PersonId(Guid.NewGuid());
        using var first = room.Join(person, "Ada")!;
        using var second = room.Join(person, "Ada")!;

        second.Take(new ConsoleNote("type"));

        Assert.Equal((2, null), (room.Tell(first).Types, room.Tell(first).Asks));
    }

    [Fact]
    public async Task A_guest_that_prints_without_end_fills_no_memory_and_its_newest_is_seen()
    {
        await using var guest = new Guest();
        var room = Room(guest);
        using var slow = room.Join(null, "Slow")!;
        var line = new string('x', 64 * 1024);
        for (var i = 0; i < 160; i++) await guest.PrintAsync(line);
        await guest.PrintAsync("\u001b]0;title\u0007the end");
        await UntilAsync(async () => (await ShownAsync(room)).EndsWith("the end", StringComparison.Ordinal));

        var shown = new StringBuilder();
        var skipped = false;
        while (!shown.ToString().EndsWith("the end", StringComparison.Ordinal))
        {
            var news = await slow.NewsAsync(Cancellation);
            skipped |= news.Room?.Skipped == true;
            Assert.InRange(news.Printed.Sum(piece => piece.Length), 0, 64 * 1024);
            foreach (var piece in news.Printed) shown.Append(Encoding.UTF8.GetString(piece));
        }

        Assert.True(skipped);
        Assert.InRange(shown.Length, 1, 320 * 1024);
        Assert.InRange((await ShownAsync(room)).Length, 1, ConsoleRoom.Scrolled);
    }

    [Fact]
    public async Task When_the_machine_ends_everybody_is_told_after_its_last_words_and_nobody_comes_in()
    {
        await using var guest = new Guest();
        var room = Room(guest);
        using var ada = room.Join(null, "Ada")!;
        await guest.PrintAsync("Power down");
        guest.End();

        var said = new StringBuilder();
        string? why = null;
        while (why is null)
        {
            var news = await ada.NewsAsync(Cancellation);
            foreach (var piece in news.Printed) said.Append(Encoding.UTF8.GetString(piece));
            why = news.Ended;
        }

        Assert.Equal(("Power down", ConsoleEnd.Ended), (said.ToString(), why));
        Assert.Null(room.Join(null, "Bob"));
    }

    [Fact]
    public async Task When_the_last_one_leaves_the_line_is_closed()
    {
        await using var guest = new Guest();
        var room = Room(guest);
        var ada = room.Join(null, "Ada")!;
        var bob = room.Join(null, "Bob")!;
        ada.Dispose();
        Assert.False(guest.IsClosed);
        bob.Dispose();
        await UntilAsync(() => Task.FromResult(guest.IsClosed));
        Assert.Null(room.Join(null, "Eve"));
    }

    private ConsoleRoom Room(Guest guest) => new(guest, _time, fault => Assert.Fail(fault.ToString()));

    /// <summary>What somebody who comes now is shown.</summary>
    private static async Task<string> ShownAsync(ConsoleRoom room)
    {
        using var seat = room.Join(null, "Look")!;
        var pieces = (await seat.NewsAsync(Cancellation)).Printed;
        return string.Concat(pieces.Select(piece => Encoding.UTF8.GetString(piece)));
    }

    private static async Task<string> SeesAsync(ConsoleSeat seat, int length)
    {
        var seen = new StringBuilder();
        while (seen.Length < length)
        {
            foreach (var piece in (await seat.NewsAsync(Cancellation)).Printed) seen.Append(Encoding.UTF8.GetString(piece));
        }

        return seen.ToString();
    }

    private static async Task UntilAsync(Func<Task<bool>> holds)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        limit.CancelAfter(TimeSpan.FromMinutes(5));
        while (!await holds()) await Task.Delay(10, limit.Token);
    }

    /// <summary>The other end of a line.</summary>
    private sealed class Guest : Stream
    {
        private readonly Pipe _printed = new();
        private readonly Pipe _typed = new();

        public bool IsClosed { get; private set; }

        public override bool CanRead => true;

        public override bool CanWrite => true;

        public override bool CanSeek => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public async Task PrintAsync(string text) => await _printed.Writer.WriteAsync(Encoding.UTF8.GetBytes(text), Cancellation);

        public void End() => _printed.Writer.Complete();

        public async Task<string> TypedAsync(int length)
        {
            var typed = await _typed.Reader.ReadAtLeastAsync(length, Cancellation);
            var text = Encoding.UTF8.GetString(typed.Buffer);
            _typed.Reader.AdvanceTo(typed.Buffer.End);
            return text;
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => _printed.Reader.AsStream(leaveOpen: true).ReadAsync(buffer, cancellationToken);

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => await _typed.Writer.WriteAsync(buffer, cancellationToken);

        public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            IsClosed = true;
            base.Dispose(disposing);
        }
    }
}
