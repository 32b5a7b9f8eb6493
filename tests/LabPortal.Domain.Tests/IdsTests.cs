using NodaTime;
using Xunit;

namespace LabPortal.Domain.Tests;

public sealed class IdsTests
{
    [Fact]
    public void Ids_of_one_millisecond_keep_the_order_in_which_they_were_made()
    {
        var now = Instant.FromUtc(2026, 3, 1, 9, 0);
        var made = Enumerable.Range(0, 1000).Select(_ => Ids.Canonical(Ids.New(now))).ToList();
        Assert.Equal(made.Order(StringComparer.Ordinal), made);
        Assert.Equal(1000, made.Distinct().Count());
        Assert.All(made, id => Assert.Equal('7', id[14]));
    }
}
