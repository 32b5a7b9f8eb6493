namespace LabPortal.Cli;

/// <summary>How a command ends: what a pipeline decides by. The numbers are promises.</summary>
internal enum Exit
{
    Done = 0,
    Unexpected = 1,
    Invalid = 2,
    Refused = 3,
    NotAllowed = 4,
    NotFound = 5,
    LabFailed = 6,
    TimedOut = 7,
    Unreachable = 8,
    Interrupted = 130,
}

internal static class Exits
{
    /// <summary>What it prints beside them.</summary>
    public const string OfOthers = "ssh, cp, forward, keepalive: as the command that they run ended, 255 where ssh has no connection; what is above where lab itself fails";

    /// <summary>What <c>lab help exit-codes</c> prints.</summary>
    public static string Meaning(this Exit exit) => exit switch
    {
        Exit.Done => "done",
        Exit.Unexpected => "unexpected: a fault of the portal or of this program",
        Exit.Invalid => "the command or what was given to it is not right",
        Exit.Refused => "refused: by quota, by the state that the lab is in, or called too often",
        Exit.NotAllowed => "not signed in, or you may not do this",
        Exit.NotFound => "there is no such thing, or you may not see it",
        Exit.LabFailed => "what was waited for will not come: the lab failed, is over, or is stuck",
        Exit.TimedOut => "waited as long as --timeout says; what was asked for goes on",
        Exit.Unreachable => "the portal cannot be reached",
        Exit.Interrupted => "interrupted, or not confirmed",
        _ => throw new ArgumentOutOfRangeException(nameof(exit), exit, "This exit code has no meaning."),
    };

    public static Exit OfStatus(int status) => status switch
    {
        401 or 403 => Exit.NotAllowed,
        404 => Exit.NotFound,
        409 or 429 => Exit.Refused,
        >= 400 and < 500 => Exit.Invalid,
        _ => Exit.Unexpected,
    };
}

/// <summary>A command cannot do what it was asked: said in a sentence, on the error output.</summary>
internal class CommandFailed(Exit exit, string message, Exception? cause = null) : Exception(message, cause)
{
    public Exit Exit { get; } = exit;
}
