using NodaTime;

namespace LabPortal.Operations.Tests.People;

/// <summary>A clock that the test moves.</summary>
internal sealed class SetTime : TimeProvider
{
    private DateTimeOffset _now = new(2026, 3, 1, 9, 0, 0, TimeSpan.Zero);

    public override DateTimeOffset GetUtcNow() => _now;

    public void Move(Duration by) => _now += by.ToTimeSpan();
}
