using System.Net.WebSockets;
using System.Threading.Channels;
using LabPortal.Operations.Consoles;
using LabPortal.Web.Hosting;

namespace LabPortal.Web.Tests.Hosting;

/// <summary>Between the node that a browser reached and the one that has the room.</summary>
public sealed class ConsolePassageTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Who_types_when_the_node_with_the_room_dies_is_told_like_those_who_only_look()
    {
        using var here = new End();
        using var there = new End { TakesNothing = true };
        here.Say();

        await ConsolePassage.CarryAsync(here, there, Cancellation).WaitAsync(TimeSpan.FromMinutes(1), Cancellation);

        Assert.Equal((WebSocketState.Aborted, WebSocketState.CloseSent), (there.State, here.State));
        Assert.Equal((WebSocketCloseStatus.EndpointUnavailable, ConsoleEnd.Lost), here.Told);
    }

    [Fact]
    public async Task Where_who_looks_is_gone_the_line_to_the_other_node_is_given_up()
    {
        using var here = new End { TakesNothing = true };
        using var there = new End();
        there.Say();

        await ConsolePassage.CarryAsync(here, there, Cancellation).WaitAsync(TimeSpan.FromMinutes(1), Cancellation);

        Assert.Equal((WebSocketState.Aborted, WebSocketState.Aborted), (there.State, here.State));
        Assert.Null(here.Told);
    }

    /// <summary>One end of a socket: what was said to it is read from it; the other side answers a close at once.</summary>
    private sealed class End : WebSocket
    {
        private readonly Channel<WebSocketMessageType> _said = Channel.CreateUnbounded<WebSocketMessageType>();
        private WebSocketState _state = WebSocketState.Open;

        public bool TakesNothing { get; init; }

        public (WebSocketCloseStatus, string?)? Told { get; private set; }

        public override WebSocketCloseStatus? CloseStatus => WebSocketCloseStatus.NormalClosure;

        public override string? CloseStatusDescription => null;

        public override WebSocketState State => _state;

        public override string? SubProtocol => null;

        public void Say() => Assert.True(_said.Writer.TryWrite(WebSocketMessageType.Binary));

        public override void Abort()
        {
            _state = WebSocketState.Aborted;
            _said.Writer.TryComplete(new WebSocketException(WebSocketError.ConnectionClosedPrematurely));
        }

        public override Task CloseAsync(WebSocketCloseStatus closeStatus, string? statusDescription, CancellationToken cancellationToken) => CloseOutputAsync(closeStatus, statusDescription, cancellationToken);

        public override async Task CloseOutputAsync(WebSocketCloseStatus closeStatus, string? statusDescription, CancellationToken cancellationToken)
        {
            await SendAsync(ArraySegment<byte>.Empty, WebSocketMessageType.Close, endOfMessage: true, cancellationToken);
            (_state, Told) = (WebSocketState.CloseSent, (closeStatus, statusDescription));
            _said.Writer.TryWrite(WebSocketMessageType.Close);
        }

        public override async Task<WebSocketReceiveResult> ReceiveAsync(ArraySegment<byte> buffer, CancellationToken cancellationToken)
        {
            try
            {
                return new WebSocketReceiveResult(0, await _said.Reader.ReadAsync(cancellationToken), endOfMessage: true);
            }
            catch (ChannelClosedException closed)
            {
                throw closed.InnerException!;
            }
        }

        public override Task SendAsync(ArraySegment<byte> buffer, WebSocketMessageType messageType, bool endOfMessage, CancellationToken cancellationToken)
            => TakesNothing || State is not WebSocketState.Open ? Task.FromException(new WebSocketException(WebSocketError.InvalidState)) : Task.CompletedTask;

        public override void Dispose() => Abort();
    }
}
